"""What a stage's result says of the tables it wrote: versions, and the hash of what is there."""

from typing import Any

from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.content_hash import content_hashes
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.contracts.tables import TableRef
from nightrank.feature_store.object_storage.addresses import hadoop_uri
from nightrank.feature_store.spark_schema import to_spark


def table_entries(spark: SparkSession, lake: Lake, written: list[tuple[TableRef, int | None]]) -> list[dict[str, Any]]:
    """Lines of StageResult.tables for (table, version before): the versions, and the content hash of what is there now."""
    now = [delta_read.open_table(lake, table.name) for table, _ in written]
    contents = [(_files(spark, lake, table, at), table) for (table, _), at in zip(written, now, strict=True)]
    return [
        {"name": table.name, "from": before, "to": at.version(), "content_sha256": found}
        for (table, before), at, found in zip(written, now, content_hashes(contents), strict=True)
    ]


def _files(spark: SparkSession, lake: Lake, table: TableRef, at: DeltaTable) -> DataFrame:
    """The rows of the version `at`, from its files as they are where those tell all: Delta's own scan would first build
    the state of every table just written (three queries each)."""
    if not delta_read.is_bare(at):
        return delta_io.read(spark, lake, table, at.version())
    paths = [hadoop_uri(locate(lake.table(table.name)) / path) for path in delta_read.file_paths(at)]
    schema = to_spark(table.schema)
    return spark.read.schema(schema).parquet(*paths) if paths else spark.createDataFrame([], schema)
