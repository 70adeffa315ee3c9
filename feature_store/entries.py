"""What a stage's result says of the tables it wrote: versions, and the hash of what is there."""

from typing import Any

from pyspark.sql import SparkSession

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.content_hash import content_sha256, sha256_of_sums
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import StageResult
from nightrank.feature_store.contracts.tables import CATALOGUE, TableRef
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.file_sums import sums_of_files


def table_entries(spark: SparkSession, lake: Lake, written: list[tuple[TableRef, int | None]]) -> list[dict[str, Any]]:
    """Lines of StageResult.tables for (table, version before): the versions, and the content hash of what is there now.

    Of a version whose files tell all, the sums are taken from its files, those that are not known yet: Delta's own scan would
    first build the state of every table just written (three queries each).
    """
    now = {table.name: delta_read.open_table(lake, table.name) for table, _ in written}
    bare = [(table, delta_read.file_sizes(now[table.name])) for table, _ in written if delta_read.is_bare(now[table.name])]
    sums = zip(bare, sums_of_files(spark, lake, bare), strict=True)
    hashes = {table.name: sha256_of_sums(table, found) for (table, _), found in sums}
    return [
        {
            "name": table.name,
            "from": before,
            "to": (at := now[table.name].version()),
            "content_sha256": hashes.get(table.name) or content_sha256(delta_io.read(spark, lake, table, at), table),
        }
        for table, before in written
    ]


def record(result: StageResult, spark: SparkSession, lake: Lake, *commits: Commit) -> None:
    """The stage's result says what these commits of tables in the catalogue did: the bytes they wrote, and their lines."""
    result.bytes_written += sum(commit.bytes_written for commit in commits)
    if commits:
        result.tables += table_entries(spark, lake, [(CATALOGUE[commit.name], commit.from_version) for commit in commits])
