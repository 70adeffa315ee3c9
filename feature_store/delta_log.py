"""What a table's transaction log says, read as files: no Spark job and no JVM."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import TableRef

RUN: Final = "run_id"
KEY: Final = "key"
VERSION: Final = re.compile(r"(\d{20})\.(?:json|checkpoint\..*parquet)")
"""A commit, or a checkpoint in one or several parts."""


def version(lake: Lake, table: TableRef) -> int | None:
    """The newest committed version; None where the table does not exist."""
    names = [place.name for place in _log(lake, table).children()]
    return max((int(found.group(1)) for name in names if (found := VERSION.fullmatch(name))), default=None)


def exists(lake: Lake, table: TableRef) -> bool:
    return version(lake, table) is not None


def commit_info(lake: Lake, table: TableRef, at: int) -> dict[str, Any]:
    """The `commitInfo` of one version; empty where the log no longer holds it."""
    for action in _actions(lake, table, at) or ():
        if "commitInfo" in action:
            info: dict[str, Any] = action["commitInfo"]
            return info
    return {}


def newest_key(lake: Lake, table: TableRef, prefix: str) -> str | None:
    """The key of the newest commit whose key begins so; None where the log holds no such commit, or not any more."""
    at = version(lake, table)
    while at is not None and at >= 0:
        actions = _actions(lake, table, at)
        if actions is None:
            return None
        notes = (action["commitInfo"].get("userMetadata") for action in actions if "commitInfo" in action)
        key = next((key for note in notes if (key := _of_note(note, KEY)) is not None), None)
        if key is not None and key.startswith(prefix):
            return key
        at -= 1
    return None


def files_added(lake: Lake, table: TableRef, after: int, upto: int) -> list[str] | None:
    """Paths of the files that the commits `after` < version <= `upto` added rows with, relative to the table's folder.

    None where that does not tell what changed: a commit took rows away, or the log does not hold it any more.
    """
    paths: list[str] = []
    for at in range(after + 1, upto + 1):
        actions = _actions(lake, table, at)
        if actions is None:
            return None
        changes = [(kind, action[kind]) for action in actions for kind in ("add", "remove") if kind in action]
        changes = [(kind, body) for kind, body in changes if body.get("dataChange", True)]
        if any(kind == "remove" for kind, _ in changes):
            return None
        paths += [unquote(body["path"]) for _, body in changes]
    return paths


def already_committed(lake: Lake, table: TableRef, note: str) -> bool:
    """True if a commit with this note is in the log and every commit after it is of the same run.

    A commit of anybody else in between ends the search: what the table holds is then no longer what was written.
    """
    run_id = json.loads(note)[RUN]
    at = version(lake, table)
    while at is not None and at >= 0:
        found = commit_info(lake, table, at).get("userMetadata")
        if found == note:
            return True
        if _of_note(found, RUN) != run_id:
            return False
        at -= 1
    return False


def written(lake: Lake, table: TableRef, after: int, upto: int) -> tuple[int, int]:
    """Rows and bytes that the commits `after` < version <= `upto` put into the table, by their own metrics."""
    rows = size = 0
    for at in range(after + 1, upto + 1):
        metrics = commit_info(lake, table, at).get("operationMetrics", {})
        merged = int(metrics.get("numTargetRowsInserted", 0)) + int(metrics.get("numTargetRowsUpdated", 0))
        rows += merged if "numTargetRowsInserted" in metrics else int(metrics.get("numOutputRows", 0))
        size += int(metrics.get("numOutputBytes", metrics.get("numTargetBytesAdded", 0)))
    return rows, size


def _actions(lake: Lake, table: TableRef, at: int) -> Iterator[dict[str, Any]] | None:
    """Of one commit; None where the log no longer holds it."""
    try:
        commit = (_log(lake, table) / f"{at:020d}.json").read_bytes()
    except FileNotFoundError:
        return None
    return map(json.loads, commit.splitlines())


def _of_note(note: str | None, name: str) -> str | None:
    try:
        body = json.loads(note or "null")
    except json.JSONDecodeError:
        return None
    return body.get(name) if isinstance(body, dict) else None


def _log(lake: Lake, table: TableRef) -> Location:
    return lake.table(table.name) / "_delta_log"
