"""Another writer that is faster than ours: every kind of Delta's conflicts becomes ConflictError, exit code 5.

Real conflicts: two writers on one table, of which ours has begun, waits, and commits after the other.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.delta_conflicts import KINDS
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.table_commit import committing
from tests.spark.conftest import make_context

pytestmark = pytest.mark.spark
TABLE = tables.ITEM_FEATURES
FIRST = {1: 10, 2: 20}
OURS = {2: 21, 3: 30}
Writer = Callable[[SparkSession, Lake], object]


def features(spark: SparkSession, rows: dict[int, int]) -> DataFrame:
    schema = to_spark(TABLE.schema)
    return spark.createDataFrame([(i, 0, n, *[None] * (len(schema) - 3)) for i, n in rows.items()], schema)


def writer(write: Callable[..., object], rows: dict[int, int], key: str = "theirs", **more: object) -> Writer:
    return lambda spark, lake: write(features(spark, rows), lake, TABLE, context=make_context(lake), key=key, **more)


def statement(sql: str) -> Writer:
    return lambda spark, lake: spark.sql(sql.format(table=f"delta.`{lake.table(TABLE.name)}`"))


def replace_where(df: DataFrame, *given: object, **more: object) -> object:
    return delta_io.replace_where(df, *given, "item >= 2", **more)


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


def overtaken(spark: SparkSession, lake: Lake, folder: Path, write: Callable[..., object], theirs: Writer) -> BaseException:
    """What our write of OURS ends with when `theirs` commits while it runs."""
    raised: list[BaseException] = []

    def ours() -> None:
        try:
            write(slow(features(spark, OURS), folder), lake, TABLE, context=make_context(lake), key="ours")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=ours)
    thread.start()
    until = time.monotonic() + 120
    while not (folder / "begun").exists() and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.05)
    theirs(spark, lake)
    (folder / "told").touch()
    thread.join(timeout=120)
    assert raised, "both writers committed"
    return raised[0]


def is_conflict(error: BaseException, kind: str) -> None:
    assert isinstance(error, ConflictError) and error.exit_code == 5, error
    assert "table item_features was written by another process at the same time" in error.message
    assert kind in error.message, error.message
    assert "\n" not in error.message


def stored(spark: SparkSession, lake: Lake) -> dict[int, int]:
    rows = delta_io.read(spark, lake, TABLE).selectExpr("item", "count AS events").collect()
    return {row["item"]: row["events"] for row in rows}


SEVEN = writer(delta_io.append, {7: 70})
CONFLICTS = {
    "append before merge": (delta_io.upsert, SEVEN, "ConcurrentAppend"),
    "delete before merge": (delta_io.upsert, statement("DELETE FROM {table} WHERE item = 1"), "ConcurrentDeleteRead"),
    "merge before merge": (delta_io.upsert, writer(delta_io.upsert, {2: 25}), "Concurrent"),
    "replace before merge": (delta_io.upsert, writer(delta_io.replace, {2: 25}), "Concurrent"),
    "replace before replace": (delta_io.replace, writer(delta_io.replace, {2: 25}), "Concurrent"),
    "append before replace of a part": (replace_where, SEVEN, "ConcurrentAppend"),
    "property before append": (delta_io.append, statement("ALTER TABLE {table} SET TBLPROPERTIES ('a' = 'b')"), "Metadata"),
    "column before merge": (delta_io.upsert, statement("ALTER TABLE {table} ADD COLUMN later INT"), "MetadataChanged"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONFLICTS)
def test_a_writer_that_another_one_overtakes_ends_with_a_conflict(spark, lake, tmp_path, what):
    write, theirs, kind = CONFLICTS[what]
    writer(delta_io.append, FIRST, "first")(spark, lake)
    is_conflict(overtaken(spark, lake, tmp_path, write, theirs), kind)
    found = stored(spark, lake)
    assert 3 not in found and found.get(2, 20) in (20, 25)


def test_the_slower_of_two_that_make_a_table_ends_with_a_conflict(spark, lake, tmp_path):
    is_conflict(overtaken(spark, lake, tmp_path, delta_io.upsert, SEVEN), "ProtocolChanged")
    assert stored(spark, lake) == {7: 70}


def test_rows_that_were_not_held_against_another_writer_s_do_not_go_in(spark, lake, monkeypatch):
    """Ours looked before the table was there; theirs made it before ours wrote."""
    monkeypatch.setattr(delta_io, "failpoint", once(lambda: SEVEN(spark, lake)))
    with pytest.raises(ConflictError) as raised:
        writer(delta_io.upsert, {7: 71}, "ours")(spark, lake)
    is_conflict(raised.value, "DELTA_PATH_EXISTS")
    assert stored(spark, lake) == {7: 70}


def test_a_merge_prepared_on_other_columns_ends_with_a_conflict(spark, lake, monkeypatch):
    """Delta itself ends with a bare IllegalStateException here."""
    writer(delta_io.append, FIRST, "first")(spark, lake)

    def theirs() -> None:
        rows = features(spark, FIRST).withColumnRenamed("count", "events")
        rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(str(lake.table(TABLE.name)))

    monkeypatch.setattr(delta_io, "failpoint", once(theirs))
    with pytest.raises(ConflictError) as raised:
        writer(delta_io.upsert, OURS, "ours")(spark, lake)
    is_conflict(raised.value, "its columns were changed")


def once(act: Callable[[], object]) -> Callable[[str], None]:
    """A failpoint at which another writer acts, the first time that one is reached."""
    left = [act]
    return lambda _: left.pop()() and None if left else None


def test_a_fault_of_our_own_stays_what_it_is_though_others_write(spark, lake, monkeypatch):
    writer(delta_io.append, FIRST, "first")(spark, lake)
    monkeypatch.setattr(delta_io, "failpoint", once(lambda: SEVEN(spark, lake)))
    twice = features(spark, OURS).union(features(spark, OURS))
    with pytest.raises(PySparkException, match="DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE"):
        delta_io.upsert(twice, lake, TABLE, context=make_context(lake), key="ours")


@pytest.mark.parametrize("package", ["io.delta.exceptions", "org.apache.spark.sql.delta"])
@pytest.mark.parametrize("kind", sorted(KINDS - {"DeltaConcurrentModificationException"}))
def test_every_kind_that_delta_has_is_known_as_the_cause_of_other_faults(spark, lake, package, kind):
    """As they come out of work in several threads, OPTIMIZE among it. The one left out is the abstract class of them all."""
    jvm = spark.sparkContext._jvm
    fault = getattr(jvm, f"{package}.{kind}")("files were added")
    work = jvm.java.util.concurrent.CompletableFuture()
    work.completeExceptionally(jvm.org.apache.spark.SparkException("Job aborted.", fault))
    with pytest.raises(ConflictError) as raised, committing(spark, make_context(lake), TABLE.name):
        work.join()
    is_conflict(raised.value, kind)


def test_a_constraint_that_another_writer_added_meanwhile_is_no_fault(spark, lake, monkeypatch):
    """Both looked at the table before it was there."""
    checked = tables.EVENTS
    assert checked.checks
    delta_io.append(spark.createDataFrame([], to_spark(checked.schema)), lake, checked, context=make_context(lake), key="first")
    name = next(iter(checked.checks))
    path = f"delta.`{lake.table(checked.name)}`"
    spark.sql(f"ALTER TABLE {path} DROP CONSTRAINT {name}")
    before = delta_io.version(lake, checked)
    delta_io.append(spark.createDataFrame([], to_spark(checked.schema)), lake, checked, context=make_context(lake), key="again")
    look = delta_read.open_table
    monkeypatch.setattr(delta_read, "open_table", lambda lake, name: look(lake, name, before))
    delta_io.append(spark.createDataFrame([], to_spark(checked.schema)), lake, checked, context=make_context(lake), key="late")
