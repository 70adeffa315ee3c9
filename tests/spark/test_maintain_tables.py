"""VACUUM never takes a file that a live snapshot or release names: alone it refuses, in a pipeline it keeps them."""

import os
import time
from datetime import UTC, datetime

import pytest
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, delta_read, pins, publish
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import SafetyRefusal
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.settings import MaintenanceSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, SplitRule
from nightrank.feature_store.spark_schema import to_spark
from nightrank.spark_jobs import maintain_tables
from tests.spark.conftest import make_context

pytestmark = pytest.mark.spark
NOW = {"maintenance": {"vacuum_hours": 0, "keep_snapshots": 1}}
ALONE = "stage-maintain_tables-2024-03-10"


def write(spark, lake, count, run_id):
    """`examples_train` with `count` rows, as a version of its own."""
    rows = spark.range(1, count + 1).select(
        F.col("id").cast("int").alias("user"), F.lit(2).alias("n"), F.lit(1).alias("loss_from"), F.lit("train").alias("split"),
        F.lit("day").alias("source"), F.lit(1.0).alias("weight"), F.array(F.lit(1), F.lit(2)).alias("items"),
        F.array(F.lit(2), F.lit(2)).alias("actions"), F.array(F.lit(1), F.lit(2)).alias("times"),
    )  # fmt: skip
    table = tables.EXAMPLES["train"]
    return delta_io.replace(rows, lake, table, context=make_context(lake, run_id=run_id), key="x").to_version


def snapshot(lake, version, run_id):
    part = publish.pin(lake, "examples_train", version)
    made = DatasetSnapshot(
        kind="full", date="2024-03-10", clock="real", parts={"train": part}, normalisation=Normalisation(),
        split=SplitRule(kind="leave_one_out", holdout_modulus=10), event_time_cutoff=0, availability_cutoff=0, seed=version,
        items=2, users=1,
    )  # fmt: skip
    publish.publish(made, make_context(lake, run_id=run_id))
    return part


def present(lake, part):
    return all((lake.table(part.table) / file.path).exists() for file in part.files)


def test_alone_it_refuses_and_in_a_pipeline_it_keeps_what_is_named(spark, lake):
    old = snapshot(lake, write(spark, lake, 3, "a"), "a")
    write(spark, lake, 4, "b")
    with pytest.raises(SafetyRefusal, match=r"files of examples_train \(snapshot"):
        maintain_tables.run(make_context(lake, run_id=ALONE, **NOW))
    assert SafetyRefusal.exit_code == 9 and present(lake, old)
    result = maintain_tables.run(make_context(lake, run_id="night", **NOW))
    assert present(lake, old)
    assert result.output.sections["maintenance"]["examples_train"]["kept_hours"] >= 1
    # A newer snapshot, and one to keep: the old one is named by nobody any more.
    new = snapshot(lake, delta_io.version(lake, tables.EXAMPLES["train"]), "b")
    maintain_tables.run(make_context(lake, run_id=ALONE, **NOW))
    assert present(lake, new) and not present(lake, old)


def test_would_remove_is_the_whole_list_of_vacuum(spark, lake):
    first = write(spark, lake, 3, "a")
    stale = set(delta_read.files_of(lake, "examples_train", first))
    write(spark, lake, 4, "b")
    table = tables.EXAMPLES["train"]
    assert maintain_tables.would_remove(spark, lake, table, 0.0) == stale
    assert maintain_tables.would_remove(spark, lake, table, 1.0) == set()


def test_many_files_become_few_and_pinned_ones_stay(spark, lake):
    rows = [("user", f"u{n}", n, None, None) for n in range(1, 9)]
    frame = spark.createDataFrame(rows, to_spark(tables.VOCABULARY.schema)).repartition(8)
    delta_io.append(frame, lake, tables.VOCABULARY, context=make_context(lake), key="x")
    part = publish.pin(lake, "vocabulary", delta_io.version(lake, tables.VOCABULARY))
    assert len(part.files) > 2
    result = maintain_tables.run(make_context(lake, maintenance={"optimize_min_files": 2}))
    entry = result.output.sections["maintenance"]["vocabulary"]
    assert (entry["files_before"], entry["files_after"]) == (len(part.files), 1)
    assert present(lake, part) and delta_io.read(spark, lake, tables.VOCABULARY).count() == 8


def test_nothing_live_pins_nothing(lake):
    assert pins.pinned(lake, MaintenanceSettings()) == []


def test_nothing_younger_than_the_oldest_live_run_goes(spark, lake):
    stale = set(delta_read.files_of(lake, "examples_train", write(spark, lake, 3, "a")))
    write(spark, lake, 4, "b")
    context = make_context(lake, run_id="night", **NOW)
    write_json(context.run_dir / "run.json", {"started": datetime.now(UTC).isoformat()})
    maintain_tables.run(context)
    assert all((lake.table("examples_train") / file).exists() for file in stale)
    (context.run_dir / "run.json").unlink()
    maintain_tables.run(context)
    assert not any((lake.table("examples_train") / file).exists() for file in stale)


def test_hours_below_one_are_not_rounded_to_nothing(spark, lake):
    stale = set(delta_read.files_of(lake, "examples_train", write(spark, lake, 3, "a")))
    write(spark, lake, 4, "b")
    orphan = lake.table("examples_train") / "orphan.parquet"
    orphan.write_bytes(b"of a write that was killed")
    os.utime(orphan, (time.time() - 7200, time.time() - 7200))
    maintain_tables.run(make_context(lake, run_id="night", maintenance={"vacuum_hours": 0.4, "keep_snapshots": 1}))
    assert not orphan.exists()
    assert all((lake.table("examples_train") / file).exists() for file in stale)
