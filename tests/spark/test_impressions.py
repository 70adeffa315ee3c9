"""Rows for click rankers, by hand: whose answer it is, what was known, which codes, where splits lie; and scores of lists."""

from datetime import timedelta
from math import log

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pytest import approx

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, ModelRef
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import StageResult
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.transforms.impression_inputs import described
from nightrank.feature_store.transforms.impressions import labelled
from nightrank.ranker.bundle.store import stored
from nightrank.ranker.ctr.bundle import load_ctr_bundle, save_ctr_bundle
from nightrank.ranker.ctr.compose import compose_ctr
from nightrank.spark_jobs import build_training_set
from nightrank.spark_jobs import score_ctr as score_ctr
from nightrank.spark_jobs.driver.submit import settings
from nightrank.spark_jobs.training_set.pointwise import write_impressions
from nightrank.trainer.ctr.pinned import codes_of, shapes_of
from tests.ctr_batches import ctr_config
from tests.spark.conftest import DAY, as_stage, at, make_context
from tests.spark.hand_lake import append, event, fill, micros

pytestmark = pytest.mark.spark
LABELS = ("click", "cart", "purchase")


def shown(user, item, when, action="impression", *, available=None, **more):
    """A row of `events`; it is available at once unless told otherwise."""
    day = at(when).date()
    return {
        "event_id": f"{user}-{item}-{when}-{action}", "user_id": f"u{user}", "item_id": f"i{item}", "action": action,
        "event_time": at(when), "availability_time": at(available or when), "event_date": day, "landing_date": day, **more,
    }  # fmt: skip


def frame(spark, rows):
    schema = to_spark(tables.EVENTS.schema)
    return spark.createDataFrame([tuple(row.get(name) for name in schema.names) for row in rows], schema)


def test_an_answer_belongs_to_the_last_impression_of_its_list(spark):
    rows = [
        shown(1, 1, "2024-03-10 10:00:00", list_id="A", context={"t": "Infinity", "u": "1.5", "v": "x"}),
        shown(1, 1, "2024-03-10 10:05:00", list_id="B"),
        shown(1, 1, "2024-03-10 10:06:00", "click", list_id="A"),
        shown(1, 1, "2024-03-10 10:07:00", "cart"),  # names no list: to the last, B
        shown(1, 1, "2024-03-10 10:08:00", "purchase", list_id="C"),  # a list that never showed it
        shown(2, 1, "2024-03-10 11:00:00"),
        shown(2, 1, "2024-03-10 11:00:00", "click"),  # the import's click bears its impression's own time
        shown(2, 1, "2024-03-10 12:00:01", "purchase"),  # a second too late
        shown(2, 2, "2024-03-10 11:00:01", "click"),  # of what was not shown
        shown(3, 2, "2024-03-10 11:00:01", "view"),
    ]
    found = labelled(frame(spark, rows), shown=("impression",), labels=LABELS, window=3_600_000_000)
    answers = {(row["user_id"], row["event_time"]): row["labels"] for row in found.collect()}
    assert answers == {
        ("u1", micros("2024-03-10 10:00:00")): [1, 0, 0],
        ("u1", micros("2024-03-10 10:05:00")): [0, 1, 0],
        ("u2", micros("2024-03-10 11:00:00")): [1, 0, 0],
    }
    ever = labelled(frame(spark, rows), shown=("impression",), labels=LABELS, window=None)
    assert {row["user_id"]: row["labels"] for row in ever.collect()}["u2"] == [1, 0, 1]
    _positions_have_no_hour(spark, ever)
    seen = labelled(frame(spark, rows), shown=("view",), labels=("click",), window=1)
    assert [(row["user_id"], row["labels"]) for row in seen.collect()] == [("u3", [0])]


def _positions_have_no_hour(spark, rows):
    nothing = spark.createDataFrame([], to_spark(tables.ITEMS.schema))
    numbers = described(rows, nothing, ["item"], ["context.t", "context.u", "context.v"], "UTC")
    assert numbers.where("event_id = '1-1-2024-03-10 10:00:00-impression'").first()["numeric"] == [None, 1.5, None]
    found = {zone: described(rows, nothing, ["hour", "weekday", "item"], ["log_price"], zone).first() for zone in (None, "UTC")}
    assert found[None]["fields"] == [None, None, "i1"] and found[None]["numeric"] == [None]
    assert found["UTC"]["fields"] in (["10", "6", "i1"], ["11", "6", "i1"])


def test_without_an_impression_to_train_on_there_are_no_rows(spark, lake, capsys):
    """Views alone, then an impression whose answer may still come."""
    context = make_context(lake, DAY, "full", impressions={"enabled": True})
    fill(spark, lake, [event(1, 1, "2024-03-10 12:00:00")])
    for row in (shown(1, 1, "2024-03-10 12:00:00", "view"), shown(1, 1, "2024-03-10 23:30:00")):
        append(spark, lake, tables.EVENTS, [row], make_context(lake, run_id=row["action"]))
        result = StageResult("build_training_set")
        assert write_impressions(spark, context, settings(as_stage(context, result.name)), result) is None
        assert result.tables == [] and "no impression to train on in 30 days" in capsys.readouterr().err


def market(spark, lake):
    """Days 5 to 10 of March. Each day at noon user 1 is shown items 1 and 2 and clicks 1 a minute later."""
    events, past = [], []
    for back in range(5, -1, -1):
        day = DAY - timedelta(days=back)
        for item in (1, 2):
            events.append(
                shown(1, item, f"{day} 12:00:00", list_id=f"l{back}", position=item, context={"device": f"d{back}", "n": "x"})
            )
        events.append(shown(1, 1, f"{day} 12:01:00", "click", list_id=f"l{back}"))
        past.append(event(1, 1, f"{day} 12:01:00", action="click"))
    # Known only from noon of the 8th on; and what came in the last hour, whose answer may still come.
    past.append(event(1, 3, "2024-03-05 13:00:00", action="click", available="2024-03-08 12:00:00"))
    events.append(shown(1, 2, "2024-03-10 23:30:00"))
    # Two minutes before validation begins: the answer could come after it.
    events.append(shown(1, 2, "2024-03-08 23:58:00"))
    fill(spark, lake, past, items=4, users=2)
    append(spark, lake, tables.EVENTS, events, make_context(lake, run_id="fill"))
    # Nothing is known of item 2 before the 7th.
    items = [
        {"item_id": "i1", "categories": ["a"], "price": 1.0, "landing_date": DAY, "availability_time": at("2024-03-01 00:00")},
        {"item_id": "i2", "categories": ["b"], "price": 9.0, "landing_date": DAY, "availability_time": at("2024-03-07 11:00")},
    ]
    append(spark, lake, tables.ITEMS, items, make_context(lake, run_id="more"))


def build(lake):
    fields = ["user", "item", "category", "hour", "position", "context.device"]
    settings = {"enabled": True, "labels": ["click", "cart"], "fields": fields}
    rules = {"max_length": 4, "overlap": 2, "holdout_modulus": 1_000_000, "replay_fraction": 0.0}
    context = make_context(lake, DAY, "full", training_set=rules, impressions=settings)
    result = build_training_set.run(as_stage(context, "build_training_set"))
    return context, result, load_snapshot(context.run_dir / "snapshot.json")


def rows_of(lake, snapshot, split):
    part = snapshot.parts[f"impressions_{split}"]
    found = pa.concat_tables([pq.read_table(lake.table(part.table) / file.path) for file in part.files]).to_pylist()
    return sorted(found, key=lambda row: (row["event_time"], row["item"]))


def test_rows_by_hand_and_the_lists_scored(spark, lake):
    market(spark, lake)
    context, _, snapshot = build(lake)
    _rows_are_those_of_their_days(lake, snapshot)
    _, result, again = build(lake)
    assert again.id == snapshot.id
    assert all(entry["from"] == entry["to"] for entry in result.tables), "nothing to do the second time"
    _lists_are_scored(spark, lake, context, snapshot)


def _rows_are_those_of_their_days(lake, snapshot):
    spec = snapshot.impressions
    assert (spec.valid_from, spec.test_from) == (micros("2024-03-09 00:00:00"), micros("2024-03-10 00:00:00"))
    assert spec.fields == ("user", "item", "category", "hour", "position", "context.device")
    assert spec.sizes == (2, 3, 3, 2, 3, 5), "device has the values of the four training days"
    assert spec.numeric == ("log_price", "log_history") and spec.labels == ("click", "cart")
    train, valid, test = (rows_of(lake, snapshot, split) for split in ("train", "valid", "test"))
    assert [(row["item"], row["labels"]) for row in train] == [(1, [1, 0]), (2, [0, 0])] * 4
    assert [row["history"] for row in train] == [h for h in ([], [1], [1, 1], [1, 1, 1]) for _ in (1, 2)], "i3 has no code"
    # The click that arrived at noon of the 8th counts from then on, though its item has no code.
    assert [row["numeric"] for row in train[::2]] == [[approx(log(2)), approx(log(1 + n))] for n in (0, 1, 2, 4)]
    assert [row["numeric"][0] for row in train[1::2]] == [None, None, approx(log(10)), approx(log(10))]
    assert [row["codes"] for row in train[::2]] == [[1, 1, 1, 1, 1, device] for device in (4, 3, 2, 1)]
    seconds = [(0, 4), (0, 3), (2, 2), (2, 1)]
    assert [row["codes"] for row in train[1::2]] == [[1, 2, category, 1, 2, device] for category, device in seconds]
    assert [row["codes"][5] for row in valid + test] == [0] * 4, "the device of these days was never trained on"
    assert [(row["item"], row["labels"], len(row["history"])) for row in valid + test] == [
        (1, [1, 0], 4), (2, [0, 0], 4), (1, [1, 0], 5), (2, [0, 0], 5),
    ]  # fmt: skip


def release(spark, lake, context):
    """Two lists, released by hand."""
    rows = [("u1", "i1", 1), ("u1", "i2", 2), ("u2", "i4", 1)]
    names = ("user_id", "item_id", "rank", "list_id", "release_id")
    lists = [dict(zip(names, (*row, f"l-{row[0]}", "r1"), strict=True)) for row in rows]
    append(spark, lake, tables.RECOMMENDATIONS, lists, context)
    release = Release(
        release_id="r1", run_id="r", date=str(DAY), model_name="m", model_version=1, manifest_sha256="0", vocabulary_version=0,
        data_version=0, recommendations_version=0, snapshot_id="s", fence=0, users=2, rows=3, fallback={}, lists_sha256="0",
    )  # fmt: skip
    row = {"release_id": "r1", "fence": 0, "created_at": at("2024-03-10 23:00"), "body": release.model_dump_json()}
    append(spark, lake, tables.RELEASES, [row], context)


def _lists_are_scored(spark, lake, context, snapshot):
    with pytest.raises(UsageError, match=r"run full-2024-03-10 has registered no click ranker"):
        score_ctr.run(as_stage(context, "score_ctr"))
    release(spark, lake, context)
    ranker = compose_ctr(ctr_config("din"), shapes_of(snapshot), seed=3)
    codes = codes_of(snapshot, lake.root)
    name = stored(lake.bundles, lambda folder: save_ctr_bundle(folder, ranker, codes, snapshot.id))
    ref = ModelRef(
        name="nightrank-ctr", version=4, alias="champion", mlflow_run_id="r", manifest_sha256=name, vocabulary_lineage="c",
        vocabulary_items=2, snapshot_id=snapshot.id, run_id="t", date=str(DAY), bundle=f"models/{name}",
    )  # fmt: skip
    ref.save(lake.root / CTR_MODEL)
    StageResult(score_ctr.REGISTERED).save(context)
    result = score_ctr.run(as_stage(context, "score_ctr"))
    found = delta_io.read(spark, lake, tables.CLICK_SCORES).collect()
    lists = delta_io.read(spark, lake, tables.RECOMMENDATIONS).collect()
    assert sorted((r["user_id"], r["item_id"], r["rank"], r["list_id"], r["release_id"]) for r in found) == sorted(
        (r["user_id"], r["item_id"], r["rank"], r["list_id"], r["release_id"]) for r in lists
    )
    assert result.rows_out == len(found) > 0 and "own copy" in result.output.sections["ctr_scores"]["note"]
    row = next(row for row in found if row["user_id"] == "u1" and row["item_id"] == "i2")
    assert (row["model_name"], row["model_version"], row["manifest_sha256"]) == ("nightrank-ctr", 4, name)
    assert (row["snapshot_id"], row["run_id"]) == (snapshot.id, context.run_id)
    # By hand: position 1 is served, hour and device are not known, seven clicks of which six have a code.
    row_table = pa.table(
        {
            "user": ["u1"], "item": ["i2"], "category": ["b"], "hour": [None], "position": ["1"], "context.device": [None],
            "log_price": [log(10)], "log_history": [log(8)], "history": [["i1"] * 6],
        },
        schema=pa.schema([(n, pa.string()) for n in snapshot.impressions.fields] + [
            ("log_price", pa.float32()), ("log_history", pa.float32()), ("history", pa.list_(pa.string()))]),
    )  # fmt: skip
    wanted = load_ctr_bundle(lake.bundles.path / name).predict(row_table)[0].tolist()
    assert row["scores"] == {"click": approx(wanted[0]), "cart": approx(wanted[1])}
    again = score_ctr.run(as_stage(context, "score_ctr"))
    assert again.tables[0]["from"] == again.tables[0]["to"]
