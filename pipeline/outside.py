"""A user in what this lake's runs and commands wrote outside it: a remote MLflow, exported lists, Spark's event logs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import MlflowSettings, SparkSettings
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.erasure.kinds import text_of
from nightrank.feature_store.erasure.rewrite import rewrite_text
from nightrank.feature_store.erasure.search import Hit, look
from nightrank.feature_store.erasure.user import ErasedUser
from nightrank.feature_store.erasure.words import pattern_of
from nightrank.pipeline.child import answered
from nightrank.pipeline.lists import exported

MLFLOW: Final = "nightrank.trainer.tracking.erased"
EVENT_LOGS: Final = "spark.eventLog.dir"
Task = Literal["search", "erase"]


class Outside(FrozenConfig):
    """What was found in one kind of place."""

    name: str
    found: tuple[str, ...] = ()
    """Files, tags and parameters that name the user."""
    left: tuple[str, ...] = ()
    """Those that still do."""
    rewritten: int = 0
    unread: tuple[str, ...] = ()
    """Places that this machine cannot look into."""


def check_reached(lake: Lake, config: Configuration) -> None:
    """DependencyUnreachable where a remote MLflow is away, before anything is erased."""
    if _is_remote(config):
        _ask_mlflow(lake, config, "reach", None)


def sought(lake: Lake, user: ErasedUser, config: Configuration, task: Task) -> list[Outside]:
    """One for each kind of place that there is. With `erase` the user is in none of them afterwards but in what is `left`."""
    places = [_mlflow(lake, user, config, task)] if _is_remote(config) else []
    if exported.exports(lake):
        places.append(_exports(lake, user, task))
    if (folder := config.section("spark", SparkSettings).extra.get(EVENT_LOGS)) is not None:
        places.append(_event_logs(lake, user, str(folder), task))
    return places


def _mlflow(lake: Lake, user: ErasedUser, config: Configuration, task: Task) -> Outside:
    answer = _ask_mlflow(lake, config, task, user)
    return Outside(name="MLflow", found=answer["found"], left=answer["left"], rewritten=answer["rewritten"])


def _ask_mlflow(lake: Lake, config: Configuration, task: str, user: ErasedUser | None) -> dict[str, Any]:
    settings = config.section("mlflow", MlflowSettings).model_dump(mode="json")
    request: dict[str, Any] = {"root": lake.root.uri, "settings": settings, "task": task}
    if user is not None:
        request |= {"names": user.names, "marker": user.marker, "integer": user.integer, "dense": user.dense}
    return answered(MLFLOW, json.dumps(request), "MLflow's artefacts were not searched")


def _is_remote(config: Configuration) -> bool:
    return config.section("mlflow", MlflowSettings).tracking_uri is not None


def _exports(lake: Lake, user: ErasedUser, task: Task) -> Outside:
    readable, away = exported.here(lake)
    found = [each for each in readable if exported.holds(each, user)]
    for each in found if task == "erase" else []:
        exported.take_out(each, user)
    left = [each.path for each in found if task == "search" or exported.holds(each, user)]
    return _told("exports", [each.path for each in found], left, tuple(away))


def _event_logs(lake: Lake, user: ErasedUser, folder: str, task: Task) -> Outside:
    """A log is rewritten where it is of this lake, by the lake's address in it, and its application has ended."""
    split = urlsplit(folder)
    if split.scheme not in ("", "file"):
        return Outside(name="event logs", unread=(folder,))
    pattern, own = pattern_of(user), lake.root.uri.removeprefix("file://").encode()
    found = list(_holding(Path(unquote(split.path)), user, pattern))
    left = [str(hit.place) for hit in found if not (task == "erase" and _rewritten(hit, user, pattern, own))]
    return _told("event logs", [str(hit.place) for hit in found], left)


def _holding(folder: Path, user: ErasedUser, pattern: re.Pattern[bytes]) -> Iterator[Hit]:
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and each.stat().st_size):
        if (hit := look(locate(path), user, pattern)) is not None:
            yield hit


def _rewritten(hit: Hit, user: ErasedUser, pattern: re.Pattern[bytes], own: bytes) -> bool:
    if hit.place.name.endswith(".inprogress") or own not in text_of(hit.place, hit.kind):
        return False
    return rewrite_text(hit, user, pattern)


def _told(name: str, found: list[str], left: list[str], unread: tuple[str, ...] = ()) -> Outside:
    return Outside(name=name, found=tuple(found), left=tuple(left), rewritten=len(found) - len(left), unread=unread)
