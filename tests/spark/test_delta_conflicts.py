"""Another writer that is faster than ours: Delta's exceptions become ConflictError, exit code 5, and nothing is committed."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.table_commit import CONFLICTS
from tests.spark.conftest import make_context

pytestmark = pytest.mark.spark
Write = Callable[[SparkSession, Lake], object]


def features(spark: SparkSession, *rows: tuple[int, int]) -> DataFrame:
    return spark.createDataFrame([(i, f, None, None) for i, f in rows], to_spark(tables.ITEM_FEATURES.schema))


def append(spark: SparkSession, lake: Lake) -> object:
    return delta_io.append(features(spark, (7, 70)), lake, tables.ITEM_FEATURES, context=make_context(lake), key="theirs")


def replace(spark: SparkSession, lake: Lake) -> object:
    return delta_io.replace(features(spark, (8, 80)), lake, tables.ITEM_FEATURES, context=make_context(lake), key="theirs")


def alter(spark: SparkSession, lake: Lake) -> object:
    return spark.sql(f"ALTER TABLE delta.`{lake.table('item_features')}` SET TBLPROPERTIES ('nightrank.test' = '1')")


def slow(rows: DataFrame, folder: Path) -> DataFrame:
    """The same rows, which say that they are being read and come when they are told to."""
    begun, told = str(folder / "begun"), str(folder / "told")

    def wait(batches):
        Path(begun).touch()
        until = time.monotonic() + 120
        while not Path(told).exists() and time.monotonic() < until:
            time.sleep(0.05)
        yield from batches

    return rows.mapInPandas(wait, rows.schema)


@pytest.mark.parametrize(
    ("theirs", "name"),
    [(append, "ConcurrentAppend"), (replace, "Concurrent(DeleteRead|Append)"), (alter, "MetadataChanged")],
)
def test_a_merge_that_another_writer_overtakes_is_a_conflict(spark, lake, tmp_path, theirs: Write, name: str):
    delta_io.append(features(spark, (1, 10), (2, 20)), lake, tables.ITEM_FEATURES, context=make_context(lake), key="first")
    raised: list[BaseException] = []

    def ours() -> None:
        try:
            merged = slow(features(spark, (2, 21), (3, 30)), tmp_path)
            delta_io.upsert(merged, lake, tables.ITEM_FEATURES, context=make_context(lake), key="ours")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=ours)
    thread.start()
    until = time.monotonic() + 120
    while not (tmp_path / "begun").exists() and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.05)
    theirs(spark, lake)
    (tmp_path / "told").touch()
    thread.join(timeout=120)
    (error,) = raised
    assert isinstance(error, ConflictError) and error.exit_code == 5, error
    assert "table item_features was written by another process at the same time" in error.message
    assert any(part in error.message for part in CONFLICTS)
    assert re.search(name, error.message), error.message
    stored = {row["item"]: row["events"] for row in rows_of(spark, lake)}
    assert 3 not in stored and stored.get(2, 20) == 20


def rows_of(spark: SparkSession, lake: Lake) -> list:
    first, second = to_spark(tables.ITEM_FEATURES.schema).fieldNames()[:2]
    read = delta_io.read(spark, lake, tables.ITEM_FEATURES)
    return read.select(read[first].alias("item"), read[second].alias("events")).collect()


def test_every_conflict_that_is_known_by_name_is_one_of_delta_s(spark):
    jvm = spark.sparkContext._jvm
    root = jvm.java.lang.Class.forName("org.apache.spark.sql.delta.DeltaConcurrentModificationException")
    for name in CONFLICTS:
        package = "org.apache.spark.sql.delta" if name == "DeltaConcurrentModification" else "io.delta.exceptions"
        assert root.isAssignableFrom(jvm.java.lang.Class.forName(f"{package}.{name}Exception")), name
