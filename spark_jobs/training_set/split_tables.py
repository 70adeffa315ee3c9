"""Training rows into one table a split, in files of even size."""

from collections.abc import Callable, Mapping
from math import ceil

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import TableRef
from nightrank.feature_store.entries import table_entries


def write_splits(
    built: DataFrame,
    tables: Mapping[str, TableRef],
    context: StageContext,
    result: StageResult,
    *,
    rows_per_file: int,
    in_files: Callable[[DataFrame, int], DataFrame],
    key: str,
) -> dict[str, int]:
    """Each split of `built` replaces its table; `result` counts rows and bytes and names the tables. Returns rows by split.

    `in_files` puts a split's rows into so many files: the same rows in the same files in the same order, whoever computed them.
    """
    counts: dict[str, int] = {row[c.SPLIT]: row["count"] for row in built.groupBy(c.SPLIT).count().collect()}
    written: list[tuple[TableRef, int | None]] = []
    for split, table in tables.items():
        rows = counts.get(split, 0)
        files = max(1, ceil(rows / rows_per_file))
        log.info(f"{result.name}: {table.name} {rows} rows in {files} files")
        written.append((table, delta_io.version(context.lake, table)))
        even = in_files(built.where(F.col(c.SPLIT) == split), files)
        commit = delta_io.replace(even, context.lake, table, context=context, key=f"{key}:{split}")
        result.rows_out += rows
        result.bytes_written += commit.bytes_written
    result.tables += table_entries(built.sparkSession, context.lake, written)
    return counts
