"""`nightrank recommend`: lists of the current release, with titles, and what its model lists for others. No JVM."""

import hmac
from collections.abc import Sequence
from typing import Any, Final

import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.settings import IdSettings
from nightrank.feature_store.contracts.tables import ITEMS
from nightrank.pipeline.anonymous import anonymous_list

DEFAULT_K: Final = 10


def recommendations(lake: Lake, user: str, files: list[str], overrides: list[str], k: int = DEFAULT_K) -> dict[str, Any]:
    """The list with its release and model. A user without a list gets the `k` most popular items, and `known` is false.

    UsageError where nothing is released.
    """
    release = current(lake)
    rows = _rows(lake, release, user, files, overrides)
    known = bool(rows)
    return {"user": user, "known": known, **_answer(lake, release, rows if known else anonymous_list(lake, release, [], k))}


def of_session(lake: Lake, history: Sequence[str], k: int = DEFAULT_K) -> dict[str, Any]:
    """What the released model lists for items that somebody looked at, oldest first. UsageError where nothing is released."""
    release = current(lake)
    return {"history": list(history), **_answer(lake, release, anonymous_list(lake, release, history, k))}


def current(lake: Lake) -> Release:
    """The current release. UsageError before the first."""
    release = delta_read.latest_release(lake)
    if release is None:
        raise UsageError(f"nothing is released on {lake.root} yet", "run `nightrank full` first")
    return release


def list_of(lake: Lake, user: str, files: list[str], overrides: list[str]) -> tuple[Release, list[dict[str, Any]]]:
    """The current release and the user's rows in it, best first. UsageError where nothing is released or the user has none; the
    message does not repeat the id."""
    release = current(lake)
    rows = _rows(lake, release, user, files, overrides)
    if not rows:
        raise UsageError(
            f"this user has no list in release {release.release_id}", "check the id; a new user has one after the next night"
        )
    return release, rows


def _rows(lake: Lake, release: Release, user: str, files: list[str], overrides: list[str]) -> list[dict[str, Any]]:
    return delta_read.recommendations_for(lake, _known_as(lake, release, user, files, overrides), release)[1]


def _answer(lake: Lake, release: Release, rows: list[dict[str, Any]]) -> dict[str, Any]:
    titles = titles_of(lake, [row[c.ITEM_ID] for row in rows])
    fields = (c.RANK, c.ITEM_ID, c.SCORE, c.FALLBACK)
    return {
        "release_id": release.release_id,
        "run_id": release.run_id,
        "date": release.date,
        "model": {"name": release.model_name, "version": release.model_version},
        "items": [{**{name: row[name] for name in fields}, "title": titles.get(row[c.ITEM_ID])} for row in rows],
    }


def titles_of(lake: Lake, item_ids: list[str]) -> dict[str, str]:
    """Title by item id, of those that have one."""
    table = delta_read.newest(lake, ITEMS.name)
    if table is None or not item_ids:
        return {}
    items = delta_read.dataset(lake, ITEMS.name, delta_read.file_paths(table), ITEMS.schema)
    rows = items.to_table(columns=[c.ITEM_ID, c.TITLE], filter=ds.field(c.ITEM_ID).isin(item_ids)).to_pylist()
    return {row[c.ITEM_ID]: row[c.TITLE] for row in rows if row[c.TITLE]}


def _known_as(lake: Lake, release: Release, user: str, files: list[str], overrides: list[str]) -> str:
    """The id under which the lake knows the user: itself, or its keyed hash where ingest replaced ids."""
    from nightrank.pipeline.config import configured
    from nightrank.spark_jobs.ingest.user_key import user_key

    config = configured(files, overrides) if files or overrides else _of_run(lake, release)
    key = user_key(config.section("ids", IdSettings), lake)
    return user if key is None else hmac.new(key, user.encode(), "sha256").hexdigest()


def _of_run(lake: Lake, release: Release) -> Configuration:
    run = lake.run_dir(release.run_id) / "run.json"
    return Configuration.from_run(read_json(run)["config"] if run.exists() else {})
