"""What a table's transaction log says, read as files: no Spark job and no JVM."""

import json
import re
from typing import Any, Final

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
    try:
        commit = (_log(lake, table) / f"{at:020d}.json").read_bytes()
    except FileNotFoundError:
        return {}
    for line in commit.splitlines():
        action = json.loads(line)
        if "commitInfo" in action:
            info: dict[str, Any] = action["commitInfo"]
            return info
    return {}


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
        if _run_of(found) != run_id:
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


def _run_of(note: str | None) -> str | None:
    try:
        body = json.loads(note or "null")
    except json.JSONDecodeError:
        return None
    return body.get(RUN) if isinstance(body, dict) else None


def _log(lake: Lake, table: TableRef) -> Location:
    return lake.table(table.name) / "_delta_log"
