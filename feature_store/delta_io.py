"""Reading and writing tables: the one place that imports delta.

Every write conforms at the door, holds the fence until it is committed (`table_commit`), and can be repeated: the same write
of the same run leaves no new version.
`upsert` has nothing to change then, which Delta does not commit. The others leave a note on their commit (run, key,
the stage's fingerprint, input files) and skip when their own still stands, with nobody else's commit after it. Delta's
txnVersion is not used: it would ignore the second A of A, B, A, and a back-fill under one app id (shared/design/stack.md).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from delta.tables import DeltaTable
from pyspark.sql import Column, DataFrame, DataFrameWriter, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_log
from nightrank.feature_store.content_hash import comparable
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.failpoints import failpoint
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.fingerprint import fingerprint_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import MADE_BY, TableRef
from nightrank.feature_store.delta_log import exists, version
from nightrank.feature_store.lineage import sources
from nightrank.feature_store.spark_schema import conform, to_spark, with_all_columns
from nightrank.feature_store.table_commit import committing
from nightrank.feature_store.table_properties import constrain, properties_of

__all__ = [
    "Commit",
    "append",
    "exists",
    "read",
    "read_or_empty",
    "replace",
    "replace_where",
    "upsert",
    "version",
]

NOTE: Final = "spark.databricks.delta.commitInfo.userMetadata"


@dataclass(frozen=True)
class Commit:
    """What one write did. `from_version` is None where the table was new; equal versions mean nothing had to change."""

    name: str
    from_version: int | None
    to_version: int
    rows: int
    bytes_written: int


def read(spark: SparkSession, lake: Lake, table: TableRef, version: int | None = None) -> DataFrame:
    """The table at `version`, or the newest. DataContractError if the lake has no such table."""
    if not exists(lake, table):
        raise DataContractError(
            f"table {table.name} does not exist in {lake.root}",
            f"run stage {MADE_BY.get(table.name, 'that makes it')}, or a full run, first",
        )
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    return with_all_columns(reader.load(lake.table(table.name).hadoop), table)


def read_or_empty(spark: SparkSession, lake: Lake, table: TableRef, version: int | None = None) -> DataFrame:
    """As `read`, but no rows with the table's schema where it does not exist yet."""
    return read(spark, lake, table, version) if exists(lake, table) else spark.createDataFrame([], to_spark(table.schema))


def append(df: DataFrame, lake: Lake, table: TableRef, *, context: StageContext, key: str) -> Commit:
    """Adds the rows. `key` = `<stage>` or `<stage>:<what>`; the same key of the same run adds them once."""
    return _write(df, lake, table, context, key, lambda writer: writer.mode("append"))


def replace(df: DataFrame, lake: Lake, table: TableRef, *, context: StageContext, key: str) -> Commit:
    """The table holds exactly these rows afterwards, in one commit. `key` should name the versions of the inputs."""
    return _write(df, lake, table, context, key, lambda writer: writer.mode("overwrite"))


def replace_where(df: DataFrame, lake: Lake, table: TableRef, condition: str, *, context: StageContext, key: str) -> Commit:
    """Rows that meet the SQL `condition` are exactly these afterwards; others stay. A row of `df` outside it is an error."""
    return _write(df, lake, table, context, key, lambda writer: writer.mode("overwrite").option("replaceWhere", condition))


def upsert(
    df: DataFrame,
    lake: Lake,
    table: TableRef,
    *,
    context: StageContext,
    key: str,
    update: bool = True,
    update_if: str | None = None,
    prune: str | None = None,
) -> Commit:
    """MERGE by the table's keys: new keys are inserted; with `update`, rows whose content differs are replaced.

    `df` holds each key once. `update_if` narrows which stored rows (`t`) a new one (`s`) may replace; `prune` is a condition
    on `t` that every possible match meets, so that other files are not read.
    """
    before = version(lake, table)
    if before is None:
        # The first rows need no join. A second start finds them there and merges. Where another writer has made the table
        # meanwhile, rows that were not held against its rows must not go in.
        return _write(df, lake, table, context, key, lambda writer: writer.mode("errorifexists"))
    rows, stored = conform(df, table), read(df.sparkSession, lake, table)
    matched = F.expr(" AND ".join([f"t.{name} <=> s.{name}" for name in table.keys] + ([f"({prune})"] if prune else [])))
    source = rows.alias("s")
    if update:
        # MERGE rewrites every file with a match, changed or not: only rows that are new or differ go into it.
        replaceable = _differs(table) & F.expr(update_if or "true")
        stale = stored.alias("t").select(F.struct("*").alias("t"))
        source = source.join(stale, matched, "left").where(F.col("t").isNull() | replaceable).select("s.*").alias("s")
    merge = DeltaTable.forPath(df.sparkSession, lake.table(table.name).hadoop).alias("t").merge(source, matched)
    merge = merge.whenNotMatchedInsertAll().withSchemaEvolution()
    with _noted(df.sparkSession, _note(rows, context, key)), _writing(df.sparkSession, lake, table, context, key, before):
        (merge.whenMatchedUpdateAll() if update else merge).execute()
    return _close(lake, table, key, before)


def _write(
    df: DataFrame,
    lake: Lake,
    table: TableRef,
    context: StageContext,
    key: str,
    mode: Callable[[DataFrameWriter], DataFrameWriter],
) -> Commit:
    rows = conform(df, table)
    note = _note(rows, context, key)
    before = version(lake, table)
    if before is not None and delta_log.already_committed(lake, table, note):
        return Commit(table.name, before, before, 0, 0)
    # A table made by an older version may lack a column: it gets it, null in the existing rows.
    writer = mode(rows.write.format("delta")).option("userMetadata", note).option("mergeSchema", "true")
    if before is None:
        # One commit makes the table and fills it: a table of its own costs two more, and as many looks at its log.
        writer = writer.options(**properties_of(table)).partitionBy(*table.partitions)
    with _writing(df.sparkSession, lake, table, context, key, before):
        writer.save(lake.table(table.name).hadoop)
    return _close(lake, table, key, before)


def _note(rows: DataFrame, context: StageContext, key: str) -> str:
    """What names a write: the run, the key, the stage's fingerprint and the versions and files its rows come from."""
    inputs = sha256_of([fingerprint_of(context, _stage(key)), sources(rows)])
    return json.dumps({delta_log.RUN: context.run_id, delta_log.KEY: key, "inputs": inputs}, sort_keys=True)


@contextmanager
def _noted(spark: SparkSession, note: str) -> Iterator[None]:
    """MERGE takes its note from the session only."""
    spark.conf.set(NOTE, note)
    try:
        yield
    finally:
        spark.conf.unset(NOTE)


@contextmanager
def _writing(
    spark: SparkSession, lake: Lake, table: TableRef, context: StageContext, key: str, before: int | None
) -> Iterator[None]:
    """Inside, this run may write what it prepared on version `before`, and a table that stands has its constraints."""
    failpoint(f"{_stage(key)}.before_{table.name}")
    with committing(spark, context, table.name, before):
        if exists(lake, table):
            constrain(spark, lake, table)
        yield


def _close(lake: Lake, table: TableRef, key: str, before: int | None) -> Commit:
    failpoint(f"{_stage(key)}.after_{table.name}")
    after = version(lake, table)
    assert after is not None  # it was written just now
    rows, size = delta_log.written(lake, table, -1 if before is None else before, after)
    return Commit(table.name, before, after, rows, size)


def _stage(key: str) -> str:
    return key.partition(":")[0]


def _differs(table: TableRef) -> Column:
    """True where a stored row and the new one with its key differ in content."""
    different = F.lit(False)
    for field in to_spark(table.schema).fields:
        if field.name in table.content_columns and field.name not in table.keys:
            old, new = (comparable(F.col(f"{side}.{field.name}"), field.dataType) for side in ("t", "s"))
            different = different | ~old.eqNullSafe(new)
    return different
