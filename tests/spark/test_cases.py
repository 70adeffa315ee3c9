"""Cases of real shops that show only once events are taken in: bots, days of another zone, counts that add up."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.transforms.cooccurrence import popularity
from nightrank.pipeline.config import resolve
from nightrank.spark_jobs import build_features, ingest_events
from nightrank.spark_jobs.sources.imports import import_data
from tests.spark.conftest import make_context

pytestmark = pytest.mark.spark
CASES = Path(__file__).parents[1] / "cases"


def imported(lake, folder, mapping, **options):
    return import_data("events", folder, lake.root, mapping=mapping, progress=lambda line: None, **options)


def test_a_bot_does_not_fill_what_is_popular_and_is_counted(spark, lake, tmp_path):
    subprocess.run([sys.executable, CASES / "bot" / "gen.py", "1500", "4000"], cwd=tmp_path, check=True)
    imported(lake, tmp_path, CASES / "bot" / "m.yaml")
    limits = {"features": {"most_events_user_day": 20, "most_events_user_item": 10}}
    context = make_context(lake, date(2024, 4, 2), "full", **limits)
    taken_in = ingest_events.run(context).counts
    built = build_features.run(context)
    known = delta_io.read(spark, lake, tables.INTERACTIONS)
    left_out = sum(built.counts["left_out"].values())
    assert taken_in["events"] == known.count() + left_out and left_out > 3700
    bot = known.groupBy("user").count().orderBy(F.desc("count")).first()["count"]
    assert bot <= 20 * 14
    items = (
        delta_io.read(spark, lake, tables.VOCABULARY).where("kind = 'item'").select("raw_id", F.col("dense_id").alias("item"))
    )
    best = popularity(known, None).join(items, "item").orderBy(F.desc("total"), "item").limit(10).collect()
    assert not {row["raw_id"] for row in best} & {f"P-{n:04d}" for n in range(80, 100)}


def test_the_zone_of_the_import_is_the_zone_of_the_runs_and_counts_add_up_after_a_redo(spark, lake, tmp_path):
    subprocess.run([sys.executable, CASES / "catalogue_update" / "make.py", "1"], cwd=tmp_path, check=True)
    imported(lake, tmp_path, CASES / "timezone_mismatch" / "columns.yaml", timezone="Europe/Berlin")
    calendar = resolve([], [], lake)["calendar"]
    assert calendar["timezone"] == "Europe/Berlin"
    full = ingest_events.run(make_context(lake, date(2024, 5, 5), "full", calendar=calendar)).counts
    night = ingest_events.run(make_context(lake, date(2024, 5, 6), calendar=calendar)).counts
    again = ingest_events.run(make_context(lake, date(2024, 5, 6), run_id="nightly-2024-05-06-r2", calendar=calendar)).counts
    for counts in (full, night, again):
        assert counts["landed"] == counts["events"] + counts["duplicates"] + sum(counts["quarantined"].values())
        assert min(counts["events"], counts["duplicates"]) >= 0 and counts["late"] == 0
    assert night == again and night["events"] > 150
