"""A day that is filled in after a later night: the same tables as in order, and its events are labels of the next training."""

from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.taken_in import other_files, taken_day
from nightrank.spark_jobs import build_features, build_training_set, ingest_events
from tests.spark.conftest import at, land, make_context

pytestmark = pytest.mark.spark
FIRST, LATE, THIRD, FOURTH = DAYS = [date(2024, 3, 10) + timedelta(days=number) for number in range(4)]
ROWS = {"max_length": 10, "overlap": 2, "holdout_modulus": 1_000_000, "replay_fraction": 0.0, "split": "leave_one_out"}


def event(day, place, user="u1", **more):
    return {
        "event_id": f"{day}-{place}", "user_id": user, "item_id": f"i{day.day}{place}", "action": "view",
        "event_time": at(f"{day} 12:00:{place:02}"), **more,
    }  # fmt: skip


def landed(root):
    lake = Lake(root)
    for day in DAYS:
        land(lake, "events", day, [event(day, place) for place in range(2)] + [event(day, 5, "u2")])
    return lake


def take_in(lake, day, kind="nightly", found=None, run_id=None):
    context = replace(make_context(lake, day, kind, run_id, training_set=ROWS), found=found)
    ingest_events.run(context)
    build_features.run(context)
    return context


def build(lake, day, kind="nightly"):
    """A run that is promoted; its snapshot."""
    context = take_in(lake, day, kind)
    build_training_set.run(context)
    snapshot = load_snapshot(context.run_dir / "snapshot.json")
    body = {
        "name": "m", "version": 1, "alias": "champion", "mlflow_run_id": "r", "manifest_sha256": "0" * 64,
        "vocabulary_lineage": "l", "vocabulary_items": snapshot.items, "snapshot_id": snapshot.id, "run_id": context.run_id,
        "date": str(day), "bundle": "models/x",
    }  # fmt: skip
    write_json(lake.champion_path, body)
    return snapshot


def content(spark, lake):
    """Of events and interactions, by raw ids: dense ones depend on when an id was first seen."""
    raw = {(row["kind"], row["dense_id"]): row["raw_id"] for row in delta_io.read(spark, lake, tables.VOCABULARY).collect()}
    found = []
    for table in (tables.EVENTS, tables.INTERACTIONS):
        ids = [name for name in ("user", "item") if name in table.schema.names]
        kept = (row.asDict() for row in delta_io.read(spark, lake, table).select(*table.content_columns).collect())
        found.append(sorted(repr({**row, **{kind: raw[kind, row[kind]] for kind in ids}}) for row in kept))
    return found


def labels(spark, lake, snapshot):
    """Raw ids of the items at the positions that the night learns, of rows of its day."""
    names = delta_io.read(spark, lake, tables.VOCABULARY).where("kind = 'item'").collect()
    raw = {row["dense_id"]: row["raw_id"] for row in names}
    part = snapshot.parts["train"]
    rows = pa.concat_tables([pq.read_table(lake.table(part.table) / file.path) for file in part.files]).to_pylist()
    return sorted(raw[item] for row in rows if row["source"] == "day" for item in row["items"][row["loss_from"] :])


@pytest.fixture(scope="module")
def in_order(spark, tmp_path_factory):
    lake = landed(tmp_path_factory.mktemp("order"))
    for day in DAYS:
        take_in(lake, day, "full" if day == FIRST else "nightly")
    return content(spark, lake)


def test_a_day_that_is_filled_in_late_is_learnt_by_the_next_night_once(spark, tmp_path, in_order):
    lake = landed(tmp_path)
    build(lake, FIRST, "full")
    (lake.landing_day("events", LATE) / "part-0.parquet").path.rename(tmp_path / "away.parquet")
    third = build(lake, THIRD)
    assert labels(spark, lake, third) == ["i120", "i121", "i125"]
    (tmp_path / "away.parquet").rename((lake.landing_day("events", LATE) / "part-0.parquet").path)
    take_in(lake, LATE, found=Found(champion=lake.champion(), newer=str(THIRD)))
    fourth = build(lake, FOURTH)
    late, own = ["i110", "i111", "i115"], ["i130", "i131", "i135"]
    assert labels(spark, lake, fourth) == late + own, "the events of the late day are labels"
    assert content(spark, lake) == in_order
    fifth = FOURTH + timedelta(days=1)
    land(lake, "events", fifth, [event(fifth, 0)])
    assert labels(spark, lake, build(lake, fifth)) == ["i140"], "and of one night only"


@pytest.mark.slow
def test_a_file_that_is_added_to_a_finished_day_is_told_from_those_taken_in_and_learnt(spark, tmp_path):
    lake = landed(tmp_path)
    build(lake, FIRST, "full")
    build(lake, LATE)
    assert taken_day(lake, LATE).run_id == f"nightly-{LATE}" and not list(other_files(lake, [LATE]))
    place = lake.landing_day("events", LATE).path / "part-0.parquet"
    content_before = place.read_bytes()
    place.unlink()
    place.with_name("again.parquet").write_bytes(content_before)
    assert not list(other_files(lake, [LATE])), "the same content under another name"
    added = land(lake, "events", LATE, [event(LATE, 8)], "part-1.parquet")
    assert [str(path) for path in other_files(lake, [LATE])] == [str(added)]
    build(lake, THIRD)
    assert [str(path) for path in other_files(lake, [LATE])] == [str(added)], "a later night does not look at it"
    take_in(lake, LATE, run_id=f"nightly-{LATE}-r2", found=Found(champion=lake.champion(), newer=str(THIRD)))
    assert not list(other_files(lake, [LATE]))
    assert labels(spark, lake, build(lake, FOURTH)) == ["i118", "i130", "i131", "i135"]
    row = delta_io.read(spark, lake, tables.EVENTS).where("item_id = 'i118'").first()
    assert row["landing_date"] == LATE
