"""build_training_set on hand-made interactions: every row by hand, and the snapshot that pins them."""

from dataclasses import replace
from datetime import timedelta
from math import log

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store import delta_io, delta_read, replay_choice
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, NothingToDo, UsageError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.holds import Hold, save_hold
from nightrank.feature_store.contracts.snapshot import Normalisation, SplitRule, load_snapshot
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.transforms import item_inputs, replay
from nightrank.feature_store.transforms.replay import is_past_label
from nightrank.feature_store.transforms.sequences import known_interactions
from nightrank.spark_jobs import build_training_set
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.training_set import snapshot as training_snapshot
from nightrank.spark_jobs.training_set.item_columns import fitted
from nightrank.trainer.data import arrow_rows
from nightrank.trainer.data.conformance import files_of
from nightrank.trainer.data.item_inputs import load_item_inputs
from nightrank.trainer.data.rows import Rows
from nightrank.trainer.data.sources import Tables
from nightrank.trainer.data.training_rows import TrainingRows
from tests.spark.conftest import DAY, make_context
from tests.spark.hand_lake import append, event, fill, micros

pytestmark = pytest.mark.spark
SMALL = {"max_length": 4, "overlap": 2, "holdout_modulus": 1_000_000, "replay_fraction": 0.0}


def rows_of(lake, snapshot, split):
    part = snapshot.parts[split]
    files = [pq.read_table(lake.table(part.table) / file.path) for file in part.files]
    rows = pa.concat_tables(files).to_pylist() if files else []
    return sorted((row["user"], row["items"], row["loss_from"], row["source"]) for row in rows)


def build(spark, lake, kind="full", day=DAY, run_id=None, **settings):
    context = make_context(lake, day, kind, run_id, training_set={**SMALL, **settings})
    result = build_training_set.run(context)
    return context, result, load_snapshot(context.run_dir / "snapshot.json")


def test_leave_one_out_rows_by_hand_and_the_same_run_again(spark, lake):
    events = [event(1, item, f"2024-03-10 00:00:{item:02}") for item in (1, 2, 3, 4, 5, 6)]
    events += [event(2, item, f"2024-03-10 00:01:{item:02}") for item in (1, 2, 3)]
    events += [event(3, 5, "2024-03-10 00:02:00"), event(3, 5, "2024-03-10 00:02:01"), event(3, 6, "2024-03-10 00:02:02")]
    fill(spark, lake, events, clock="position")
    _, result, snapshot = build(spark, lake)
    assert rows_of(lake, snapshot, "train") == [(1, [1, 2, 3, 4], 1, "history"), (3, [5, 6], 1, "history")]
    _spark_writes_what_the_trainer_reads_from_leaves(lake, snapshot)
    assert rows_of(lake, snapshot, "valid") == [(1, [1, 2, 3, 4, 5], 4, "history"), (2, [1, 2], 1, "history")]
    assert rows_of(lake, snapshot, "test") == [(1, [2, 3, 4, 5, 6], 4, "history"), (2, [1, 2, 3], 2, "history")]
    assert rows_of(lake, snapshot, "refit") == [(1, [3, 4, 5, 6], 2, "history"), (2, [1, 2, 3], 1, "history")]
    assert snapshot.rows("holdout") == 0
    assert (snapshot.items, snapshot.users, snapshot.clock, snapshot.split.kind) == (6, 3, "position", "leave_one_out")
    assert result.output.sections["snapshot"]["rows"]["train"] == 2 and result.rows_in == 12
    _, second, again = build(spark, lake)
    assert again.id == snapshot.id
    assert [e["content_sha256"] for e in result.tables] == [e["content_sha256"] for e in second.tables]
    assert all(entry["from"] == entry["to"] for entry in second.tables)
    with pytest.raises(ConfigError, match="positions and no clock"):
        build(spark, lake, split="global_time")


def test_global_time_cuts_at_days(spark, lake):
    days = [DAY - timedelta(days=back) for back in range(5, -1, -1)]
    fill(spark, lake, [event(1, item, f"{day} 12:00:00", day) for item, day in enumerate(days, 1)])
    _, _, snapshot = build(spark, lake, max_length=10)
    assert snapshot.split.kind == "global_time"
    assert snapshot.split.test_from == micros("2024-03-10 00:00:00")
    assert snapshot.split.valid_from == micros("2024-03-09 00:00:00")
    assert rows_of(lake, snapshot, "train") == [(1, [1, 2, 3, 4], 1, "history")]
    assert rows_of(lake, snapshot, "valid") == [(1, [1, 2, 3, 4, 5], 4, "history")]
    assert rows_of(lake, snapshot, "test") == [(1, [1, 2, 3, 4, 5, 6], 5, "history")]
    assert rows_of(lake, snapshot, "refit") == [(1, [1, 2, 3, 4, 5, 6], 4, "history")]


def test_a_night_takes_what_is_new_and_replays_the_others(spark, lake):
    yesterday = DAY - timedelta(days=1)
    events = [event(u, item, f"2024-03-09 00:0{u}:{item:02}", yesterday) for u in (1, 2) for item in (1, 2, 3)]
    # User 1: one event of the day, and one of yesterday that landed today and so was unknown to item 3.
    late = event(1, 5, "2024-03-09 00:01:02", DAY, available="2024-03-10 00:00:00", event_id="zz")
    described = [("i1", ["b", "a"], 0.0), ("i2", ["b"], 2.0), ("i4", ["not trained"], 9.0), ("i5", ["b"], None)]
    fill(spark, lake, [*events, late, event(1, 4, "2024-03-10 09:00:00")], described)
    with pytest.raises(UsageError, match="no champion"):
        build(spark, lake, "nightly")
    base = champion(spark, lake, yesterday)
    _, _, snapshot = build(spark, lake, "nightly", replay_fraction=1.0, max_length=10)
    assert rows_of(lake, snapshot, "train") == [
        (1, [1, 2, 5], 2, "day"),
        (1, [1, 2, 5, 3, 4], 4, "day"),
        (2, [1, 2, 3], 1, "replay"),
    ]
    assert set(snapshot.parts) == {"train", "holdout", "items", "vocabulary"} and snapshot.base == base.id
    _item_inputs_are_the_champions(spark, lake, base, snapshot)
    _pins_are_of_the_version(lake, base, snapshot)
    champion(spark, lake, DAY)
    with pytest.raises(NothingToDo):
        build(spark, lake, "nightly", DAY + timedelta(days=1))


def test_a_night_without_events_has_no_rows_and_knows_the_items(spark, lake):
    fill(spark, lake, [event(1, item, f"2024-03-10 00:00:{item:02}") for item in (1, 2, 3)], [("i1", ["a"], 1.0)], items=4)
    base, before = champion(spark, lake, DAY), delta_io.version(lake, tables.EXAMPLES["train"])
    context = make_context(lake, DAY + timedelta(days=1), training_set=SMALL)
    result = build_training_set.run(replace(context, found=Found(champion=lake.champion(), without_events=True)))
    snapshot = load_snapshot(context.run_dir / "snapshot.json")
    assert set(snapshot.parts) == {"items", "vocabulary"} and (snapshot.items, snapshot.rows("items")) == (4, 4)
    assert (snapshot.base, snapshot.parent.version, snapshot.normalisation) == (base.id, 1, base.normalisation)
    assert result.output.sections["snapshot"]["id"] == snapshot.id
    assert delta_io.version(lake, tables.EXAMPLES["train"]) == before
    assert load_item_inputs(snapshot, lake.root).popularity.tolist() == [0.0] * 5


def test_events_since_the_champion_are_labels_though_nights_between_failed(spark, lake):
    start = DAY - timedelta(days=3)
    days = [DAY - timedelta(days=back) for back in (3, 2, 1, 0)]
    events = [event(1, item, f"{day} 10:00:00", day) for item, day in enumerate(days, 1)]
    fill(spark, lake, [*events, event(1, 5, f"{start} 09:00:00", start)])
    champion(spark, lake, start)
    _, _, snapshot = build(spark, lake, "nightly", max_length=10)
    assert rows_of(lake, snapshot, "train") == [(1, [5, 1, 2, 3, 4], 2, "day")]
    champion(spark, lake, DAY)
    _, _, again = build(spark, lake, "nightly", run_id="redo", max_length=10)
    assert rows_of(lake, again, "train") == [(1, [5, 1, 2, 3, 4], 4, "day")], "a repeated night learns its own day"


@pytest.mark.parametrize("choice", ["uniform", pytest.param("reservoir", marks=pytest.mark.slow)])
def test_the_events_of_a_folded_day_are_labels(spark, lake, choice):
    days = [DAY - timedelta(days=back) for back in (3, 2, 1, 0)]
    events = [event(1, item, f"{day} 10:00:00", day) for item, day in enumerate(days, 1)]
    fill(spark, lake, [*events, event(1, 5, f"{days[0]} 09:00:00", days[0])])
    champion(spark, lake, days[2])
    record = lake.run_dir(f"full-{days[2]}") / "stages" / "check_day.json"
    write_json(record, {"output": {"guards": {"days": [], "without": [str(days[1])], "folded": []}}})
    settings = {"max_length": 10, "replay_choice": choice, "replay_events": 1}
    _, _, snapshot = build(spark, lake, "nightly", **settings)
    assert rows_of(lake, snapshot, "train") == [(1, [5, 1, 2], 2, "day"), (1, [5, 1, 2, 3, 4], 4, "day")]
    save_hold(lake, Hold(date=days[1], status="held", landing="", reasons=(), run_id="n"))
    _, _, held = build(spark, lake, "nightly", run_id="held", **settings)
    assert rows_of(lake, held, "train") == [(1, [5, 1, 2, 3, 4], 4, "day")], "a held day is not folded in"


@pytest.mark.parametrize("choice", ["uniform", pytest.param("reservoir", marks=pytest.mark.slow)])
def test_what_came_into_the_table_after_the_champion_is_a_label_though_it_landed_before(spark, lake, choice):
    days = [DAY - timedelta(days=back) for back in (3, 2, 1, 0)]
    events = [event(1, item, f"{day} 10:00:00", day) for item, day in enumerate(days, 1) if item != 2]
    fill(spark, lake, [*events, event(1, 5, f"{days[0]} 09:00:00", days[0])], items=5)
    champion(spark, lake, days[2])
    append(spark, lake, tables.INTERACTIONS, [event(1, 2, f"{days[1]} 10:00:00", days[1])], make_context(lake, run_id="late"))
    _, _, snapshot = build(spark, lake, "nightly", max_length=10, replay_choice=choice, replay_events=1)
    assert rows_of(lake, snapshot, "train") == [(1, [5, 1, 2], 2, "day"), (1, [5, 1, 2, 3, 4], 4, "day")]


def test_what_was_taken_back_is_no_label_and_actions_have_weights(spark, lake):
    rows = [event(1, item, f"2024-03-10 10:00:{item:02}") for item in (1, 2, 3)]
    rows += [event(1, 2, "2024-03-10 11:00:00", action="refund"), event(1, 4, "2024-03-10 12:00:00", action="purchase")]
    rows += [event(1, 2, "2024-03-10 13:00:00"), event(1, 5, "2024-03-10 14:00:00", action="other")]
    fill(spark, lake, rows)
    _, _, snapshot = build(spark, lake, action_weights={"purchase": 3.0}, split="leave_one_out", max_length=10)
    assert rows_of(lake, snapshot, "test") == [(1, [1, 2, 3, 4, 2], 4, "history")]
    assert rows_of(lake, snapshot, "train") == [(1, [1, 2, 3], 2, "history")]
    part = snapshot.parts["refit"]
    found = pq.read_table([lake.table(part.table) / file.path for file in part.files]).to_pylist()
    assert sorted((row["items"][row["loss_from"] :], row["weight"]) for row in found) == [([2], 1.0), ([4], 3.0)]


def champion(spark, lake, day):
    """A full run as of `day`, declared champion."""
    _, _, snapshot = build(spark, lake, "full", day, max_length=10, split="leave_one_out")
    body = {
        "name": "m", "version": 1, "alias": "champion", "mlflow_run_id": "r", "manifest_sha256": "0" * 64,
        "vocabulary_lineage": "l", "vocabulary_items": snapshot.items, "snapshot_id": snapshot.id, "run_id": f"full-{day}",
        "date": str(day), "bundle": "models/x",
    }  # fmt: skip
    write_json(lake.root / "champion.json", body)
    return snapshot


def _spark_writes_what_the_trainer_reads_from_leaves(lake, snapshot):
    for part in (snapshot.parts[name] for name in ("train", "valid", "test", "refit")):
        for path, groups in files_of(part, lake.root):
            assert groups == 1
            found, table = TrainingRows().read(path, 0), Tables(arrow_rows.ROW_COLUMNS).read(path, 0)
            assert isinstance(found, Rows) and len(found) == 2
            assert found.heads.tobytes() == arrow_rows.rows_of(table, "x").heads.tobytes()


def _item_inputs_are_the_champions(spark, lake, base, snapshot):
    """Fitted on train rows: of three events a user the first is no row's, so nothing is known of any price there."""
    assert base.rows("train") == 0 and base.normalisation == Normalisation()
    assert snapshot.normalisation == base.normalisation
    stored = delta_io.read(spark, lake, tables.ITEM_INPUTS).orderBy("item").collect()
    assert [(row["item"], row["category_codes"], row["numeric"]) for row in stored] == [(i, [], []) for i in range(1, 6)]


def _pins_are_of_the_version(lake, base, snapshot):
    part = snapshot.parts["train"]
    assert [f.path for f in part.files] == delta_read.files_of(lake, part.table, part.version)
    assert part.rows == delta_read.rows_of(lake, part.table, part.version) == sum(map(sum, (f.row_groups for f in part.files)))
    old = base.parts["refit"]
    assert rows_of(lake, base, "refit") == [(1, [1, 2, 3], 1, "history"), (2, [1, 2, 3], 1, "history")]
    assert old.version == delta_read.table_version(lake, old.table), "a night leaves the refresh rows of its base alone"


def test_item_inputs_by_hand(spark):
    rows = [
        (1, ["b", "a"], 0.0, {"weight": 3.0, "heat": -3.0}),
        (2, ["b", "b"], 2.0, {"weight": 0.0, "heat": 3.0}),
        (3, ["c"], -9.0, {"weight": None}),
        (4, None, None, None),
    ]
    kinds = "item int, categories array<string>, price double, numbers map<string,double>"
    trained = spark.createDataFrame(rows, kinds)
    names = [row["category"] for row in item_inputs.category_counts(trained).collect()]
    constants = item_inputs.normalisation(tuple(names), item_inputs.number_moments(trained, ("price", "heat", "length")))
    assert names == ["b", "a", "c"] and constants.numeric == ("price", "price_missing", "heat", "heat_missing")
    assert constants.mean[2:] == pytest.approx((0.0, 0.0)) and constants.std[2:] == pytest.approx((log(4), 1.0))
    later = trained.union(spark.createDataFrame([(5, ["new", "a"], 2.0, {"heat": 15.0})], kinds))
    found = {row["item"]: row for row in item_inputs.item_inputs(later, constants).collect()}
    assert {item: row["category_codes"] for item, row in found.items()} == {1: [1, 2], 2: [1], 3: [3], 4: [], 5: [2]}
    numbers = {1: [-1, 0, -1, 0], 2: [1, 0, 1, 0], 3: [0, 1, 0, 1], 4: [0, 1, 0, 1], 5: [1, 0, 2, 0]}
    assert {item: row["numeric"] for item, row in found.items()} == {i: pytest.approx(n) for i, n in numbers.items()}


def test_a_number_that_no_trained_item_has_is_named_with_those_there_are(spark):
    kinds = "item int, categories array<string>, price double, numbers map<string,double>"
    items = spark.createDataFrame([(1, [], 1.0, {"weight": 2.0}), (2, [], 1.0, {"length": 2.0})], kinds)
    train = spark.createDataFrame([([1],)], "items array<int>")
    with pytest.raises(ConfigError, match=r"features.numbers length: no item .* \(there are: weight\)"):
        fitted(items, train, ("weight", "length"))


def test_vectors_of_two_revisions_are_refused(spark, lake):
    context = make_context(lake)
    assert training_snapshot.text_revision(spark, context) == (None, 0)
    rows = [(1, "a", "r1", [1.0], [5]), (2, "b", "r2", [1.0], [5])]
    vectors = spark.createDataFrame(rows, to_spark(tables.ITEM_EMBEDDINGS.schema))
    delta_io.append(vectors, lake, tables.ITEM_EMBEDDINGS, context=context, key="x")
    with pytest.raises(DataContractError, match="more than one encoder revision"):
        training_snapshot.text_revision(spark, context)


@pytest.mark.parametrize("rows", [{"overlap": 4}, {"min_history": 4}])
def test_chunks_that_could_hold_nothing_new_are_refused(rows):
    settings = DataSections(Configuration.from_run({"training_set": {"max_length": 4, "overlap": 2, **rows}}))
    with pytest.raises(ConfigError, match="must be below max_length 4"):
        build_training_set.row_rules(settings, SplitRule(kind="leave_one_out", holdout_modulus=10), "full")


@pytest.mark.parametrize("choice", [pytest.param("reservoir", marks=pytest.mark.slow), "exemplars"])
def test_a_night_replays_single_events_as_the_numpy_rules_choose_them(spark, lake, choice):
    yesterday, events = DAY - timedelta(days=1), 12
    past = [
        event(u, (u * step) % 5 + 1, f"2024-03-09 00:{u:02}:{step:02}", yesterday) for u in range(2, 12) for step in range(4)
    ]
    fill(spark, lake, [*past, event(1, 4, "2024-03-09 09:00:00", yesterday), event(1, 5, "2024-03-10 09:00:00")])
    champion(spark, lake, yesterday)
    settings = {"replay_choice": choice, "replay_events": events, "collapse_repeats": False}
    _, _, snapshot = build(spark, lake, "nightly", **settings)
    known = known_interactions(
        delta_io.read(spark, lake, tables.INTERACTIONS), day=DAY, timezone="UTC", actions=("view", "click", "purchase")
    )
    seed = snapshot.seed
    rows = (
        known.where(is_past_label())
        .select("user", "item", "event_time", replay._priority(seed).alias("p"), replay.item_draw(seed).alias("u"))
        .orderBy("user", "event_time", "event_id")
        .toPandas()
    )
    items, priorities = rows["item"].to_numpy(np.int64), rows["p"].to_numpy()
    of_items = np.zeros(items.max() + 1)
    of_items[items] = rows["u"].to_numpy()
    chosen = (
        replay_choice.reservoir(priorities, events)
        if choice == "reservoir"
        else replay_choice.exemplars(items, priorities, of_items, events)
    )
    first = rows.groupby("user").cumcount().to_numpy() == 0
    expected = sorted(zip(rows["user"][chosen & ~first], rows["item"][chosen & ~first], strict=True))
    found = [
        (user, item) for user, row, at, source in rows_of(lake, snapshot, "train") if source == "replay" for item in row[at:]
    ]
    assert sorted(found) == [pair for pair in expected if pair[0] != 1] and found
    assert [row for row in rows_of(lake, snapshot, "train") if row[3] == "day"] == [(1, [4, 5], 1, "day")]
    again = build(spark, lake, "nightly", **settings)[2]
    assert again.id == snapshot.id
