"""Another writer that is faster than ours: Delta's exceptions become ConflictError, exit code 5, and nothing is committed."""

import threading
import time
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.spark_schema import to_spark
from tests.spark.conftest import make_context

pytestmark = pytest.mark.spark


def features(spark: SparkSession, *rows: tuple[int, int]) -> DataFrame:
    schema = to_spark(tables.ITEM_FEATURES.schema)
    return spark.createDataFrame([(i, 0, n, *[None] * (len(schema) - 3)) for i, n in rows], schema)


def append(spark: SparkSession, lake: Lake) -> object:
    return delta_io.append(features(spark, (7, 70)), lake, tables.ITEM_FEATURES, context=make_context(lake), key="theirs")


def slow(rows: DataFrame, folder: Path) -> DataFrame:
    """The same rows, which say that they are being read and come when they are told to."""
    begun, told = str(folder / "begun"), str(folder / "told")

    def wait(batches):
        Path(begun).touch()
        until = time.monotonic() + 120
        while not Path(told).exists() and time.monotonic() < until:
            time.sleep(0.05)
        yield from batches

    return rows.coalesce(1).mapInPandas(wait, rows.schema)  # one task: the other writer needs a core


def test_a_merge_that_another_writer_overtakes_is_a_conflict(spark, lake, tmp_path):
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
    append(spark, lake)
    (tmp_path / "told").touch()
    thread.join(timeout=120)
    (error,) = raised
    assert isinstance(error, ConflictError) and error.exit_code == 5, error
    assert "table item_features was written by another process at the same time" in error.message
    assert "ConcurrentAppend" in error.message, error.message
    stored = {row["item"]: row["events"] for row in rows_of(spark, lake)}
    assert 3 not in stored and stored.get(2, 20) == 20


def rows_of(spark: SparkSession, lake: Lake) -> list:
    return delta_io.read(spark, lake, tables.ITEM_FEATURES).selectExpr("item", "count AS events").collect()
