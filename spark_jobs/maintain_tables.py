"""OPTIMIZE tables of many files and VACUUM old ones, without a file that a live snapshot or release still names, or that is
younger than the oldest live run.

`spark-submit spark_jobs/maintain_tables.py --root LAKE --date D [--set maintenance.vacuum_hours=H]` (a run of this stage
alone) refuses where that would remove a named file; as part of a pipeline it keeps those for longer and says so.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pyspark.sql import SparkSession

from nightrank.feature_store import delta_io, delta_read, pins
from nightrank.feature_store.contracts.errors import SafetyRefusal
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.closing import Maintained
from nightrank.feature_store.contracts.settings import MaintenanceSettings, SparkSettings
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import (
    CATALOGUE,
    CLICK_SCORES,
    EXAMPLES,
    FEEDBACK,
    IMPRESSION_CODES,
    IMPRESSIONS,
    ITEM_INPUTS,
    POPULAR_ITEMS,
    RECOMMENDATIONS,
    RETIRED,
    SIMILAR_ITEMS,
    USER_ATTRIBUTES,
    TableRef,
)
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.live_runs import hours_of_oldest
from nightrank.feature_store.session import get_session
from nightrank.feature_store.table_commit import committing
from nightrank.spark_jobs.driver import submit

NAME: Final = "maintain_tables"
_LISTS: Final = (RECOMMENDATIONS, SIMILAR_ITEMS, POPULAR_ITEMS, FEEDBACK, CLICK_SCORES)
_ROWS: Final = (ITEM_INPUTS, IMPRESSION_CODES, *EXAMPLES.values(), *IMPRESSIONS.values())
REWRITTEN: Final = frozenset(table.name for table in (*_LISTS, *_ROWS, *RETIRED, USER_ATTRIBUTES))
"""Replaced as a whole by their own stage, in files of the size and order it wants: never OPTIMIZEd."""
LONGEST_HOURS: Final = 24 * 365 * 10.0
CHECK: Final = "spark.databricks.delta.retentionDurationCheck.enabled"
LISTING: Final = "spark.sql.sources.parallelPartitionDiscovery.parallelism"


def run(context: StageContext) -> StageResult:
    """Tables have fewer and younger files; every file that something live names is still there."""
    maintenance = context.section("maintenance", MaintenanceSettings)
    spark = get_session(context.section("spark", SparkSettings))
    named = _by_table(pins.pinned(context.lake, maintenance))
    tables = [table for table in (*CATALOGUE.values(), *RETIRED) if delta_io.exists(context.lake, table)]
    hours = hours_kept(context, maintenance.vacuum_hours)
    if runs_alone(context):
        _refuse_if_named(spark, context.lake, tables, named, hours)
    result = StageResult(NAME)
    report: dict[str, Any] = {}
    for table in tables:
        with committing(spark, context, table.name):
            entry = _optimised(spark, context, table, maintenance.optimize_min_files, result)
            entry |= _vacuumed(spark, context.lake, table, named.get(table.name, {}), hours)
        if any(entry.values()):
            report[table.name] = entry
            log.info(f"{NAME}: {table.name} {entry}")
    result.output = Maintained(maintenance=report)
    return result


def hours_kept(context: StageContext, wanted: float) -> float:
    """What VACUUM keeps: the hours that are wanted, but never less than the oldest live run has lasted.

    Whole ones, rounded up: Delta rounds to the nearest, and would make nothing of 0.4.
    """
    return float(math.ceil(max(wanted, hours_of_oldest(context))))


def runs_alone(context: StageContext) -> bool:
    """Whether this stage is a run of its own (`driver.submit` names those so) and not one of a pipeline's."""
    return context.run_id.startswith(f"stage-{NAME}-")


def _by_table(named: list[pins.Pin]) -> dict[str, dict[str, str]]:
    result: dict[str, dict[str, str]] = {}
    for pin in named:
        result.setdefault(pin.table, {})[pin.file] = pin.owner
    return result


def _optimised(
    spark: SparkSession, context: StageContext, table: TableRef, min_files: int, result: StageResult
) -> dict[str, int]:
    """OPTIMIZE leaves the old files where they are, so what pins them still reads them."""
    before = delta_io.version(context.lake, table)
    files = len(delta_read.files_of(context.lake, table.name, before or 0))
    if files <= min_files or table.name in REWRITTEN:
        return {}
    spark.sql(f"OPTIMIZE {_path(context.lake, table)}").collect()
    result.tables += table_entries(spark, context.lake, [(table, before)])
    after = len(delta_read.files_of(context.lake, table.name, delta_io.version(context.lake, table) or 0))
    return {"files_before": files, "files_after": after}


def _vacuumed(spark: SparkSession, lake: Lake, table: TableRef, named: dict[str, str], hours: float) -> dict[str, Any]:
    """Removes what is older than `hours` and not in use; keeps files for longer where removing them would remove one in use."""
    kept_for = hours
    while held := _named_in(doomed := would_remove(spark, lake, table, kept_for), named):
        if kept_for >= LONGEST_HOURS:
            return {"removed": 0, "kept_for": sorted({named[file] for file in held})}
        kept_for = min(LONGEST_HOURS, max(1.0, kept_for * 2))
    if doomed:
        _vacuum(spark, lake, table, kept_for)
    return {"removed": len(doomed)} | ({"kept_hours": kept_for} if kept_for > hours else {})


def _refuse_if_named(
    spark: SparkSession, lake: Lake, tables: list[TableRef], named: dict[str, dict[str, str]], hours: float
) -> None:
    """SafetyRefusal before anything is removed, if VACUUM at `hours` would remove a file that something live names."""
    faults = []
    for table in tables:
        of_table = named.get(table.name, {})
        held = _named_in(would_remove(spark, lake, table, hours), of_table)
        if held:
            owners = ", ".join(sorted({of_table[file] for file in held}))
            faults.append(f"{len(held)} files of {table.name} ({owners})")
    if faults:
        raise SafetyRefusal(
            f"VACUUM at {hours:g} hours would remove files that are still named: {'; '.join(faults)}",
            "raise maintenance.vacuum_hours, or lower keep_snapshots or keep_releases if these may go",
        )


def _named_in(files: set[str], named: dict[str, str]) -> set[str]:
    return files & set(named)


def would_remove(spark: SparkSession, lake: Lake, table: TableRef, hours: float) -> set[str]:
    """The files VACUUM would remove, relative to the table's folder."""
    if not _has_old_files(lake, table, hours):
        return set()
    rows = _vacuum(spark, lake, table, hours, "DRY RUN")
    folder = urlsplit(lake.table(table.name).uri).path
    paths = (urlsplit(row["path"]).path for row in rows)
    return {unquote(path.removeprefix(folder)).lstrip("/") for path in paths}


def _has_old_files(lake: Lake, table: TableRef, hours: float) -> bool:
    """Whether the folder holds a data file of that age which the newest version does not name; if not, VACUUM is not needed."""
    folder, oldest = lake.table(table.name), time.time() - hours * 3600
    current = set(delta_read.files_of(lake, table.name, delta_io.version(lake, table) or 0))
    for place, entry in folder.walk():
        name = place.below(folder)
        if name.endswith(".parquet") and entry.modified <= oldest and name not in current and "_delta_log/" not in name:
            return True
    return False


def _vacuum(spark: SparkSession, lake: Lake, table: TableRef, hours: float, mode: str = "") -> list[Any]:
    # Delta's own check knows only hours; ours knows who still reads what. VACUUM lists folders in as many tasks as Spark's
    # partition discovery may take: 10,000 by default, minutes of empty tasks for a small table.
    with _conf(spark, {CHECK: "false", LISTING: str(spark.sparkContext.defaultParallelism)}):
        return list(spark.sql(f"VACUUM {_path(lake, table)} RETAIN {hours:f} HOURS {mode}").collect())


@contextmanager
def _conf(spark: SparkSession, values: dict[str, str]) -> Iterator[None]:
    """The settings for the length of a block; a session that other stages share is left as it was."""
    earlier = {key: spark.conf.get(key, None) for key in values}
    for key, value in values.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, before in earlier.items():
            spark.conf.unset(key) if before is None else spark.conf.set(key, before)


def _path(lake: Lake, table: TableRef) -> str:
    return f"delta.`{lake.table(table.name).hadoop}`"


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
