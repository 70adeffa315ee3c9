"""A click ranker that reads features: trained, resumed and served, it sees the same numbers, and nothing of a row's own day."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightrank.feature_store.as_of import aggregates
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import read_json
from nightrank.ranker.ctr.bundle import SUMS, load_ctr_bundle
from nightrank.ranker.ctr.sums import AggregateSums, EntitySums
from nightrank.spark_jobs.executor.aggregates import REQUESTED, aggregate_reader
from nightrank.trainer.ctr.sums import sums_of
from nightrank.trainer.data.impressions import impressions_of
from tests.ctr_feature_lake import (
    HOUR,
    NUMERIC,
    START,
    USER_NAMES,
    ZONE,
    events,
    feature_lake,
    raw_rows,
    rows_of,
    sums,
)
from tests.day_rows import day_rows
from tests.impression_lake import ctr_job, ctr_section, impression_lake
from tests.unit.test_ctr_stage import Interrupted, StopsAt, trained


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("lake")
    return root, feature_lake(root)


@pytest.fixture(scope="module")
def whole(lake):
    root, snapshot = lake
    return trained(ctr_job(root, snapshot, ctr_section("din"), "whole", checkpoint={"every_steps": 3}))


@pytest.fixture(scope="module")
def bundle(lake, whole):
    root, _ = lake
    return load_ctr_bundle(root / whole["model_files"]["live"])


def test_interrupted_and_run_again_it_ends_in_the_same_bundle(lake, whole):
    root, snapshot = lake
    cut = ctr_job(root, snapshot, ctr_section("din"), "cut", checkpoint={"every_steps": 3})
    with pytest.raises(Interrupted):
        trained(cut, progress=StopsAt(7))
    again = trained(cut)
    assert again["training"]["resumed_from"] == "ctr step 6" and again["curves"] == whole["curves"]
    assert again["model_files"]["live"] == whole["model_files"]["live"]
    names = {"user": ["count_3d", "age_days"], "item": ["recency_days", "view_all"], "attributes": []}
    assert whole["training"]["features"] == {"names": names, "read_by": "din"}
    assert whole["training"]["dropped"] == again["training"]["dropped"] == 0


@pytest.mark.parametrize("split", ["train", "test"])
def test_served_rows_have_the_numbers_of_training(bundle, split):
    stored, sent = rows_of(split), raw_rows(split)
    wanted = bundle.scores(impressions_of(stored, bundle.ranker.shapes, split))
    torch.testing.assert_close(bundle.predict(sent), wanted)
    numbers = bundle.sums.numbers(sent, NUMERIC)
    for place, name in enumerate(NUMERIC):
        if name != "price":
            np.testing.assert_array_equal(numbers[name], [row[place] for row in stored["numeric"].to_pylist()])
            assert len(np.unique(numbers[name])) > 3
    told = sent.drop_columns(["event_time"])
    for name, values in numbers.items():
        told = told.append_column(name, pa.array(values))
    assert torch.equal(bundle.predict(told), bundle.predict(sent)), "as executors send them"


def test_moments_may_be_timestamps_and_a_row_without_one_knows_no_number(bundle):
    sent = raw_rows("test")
    place = sent.column_names.index("event_time")
    stamps = sent["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("ns", "UTC"))
    assert torch.equal(bundle.predict(sent.set_column(place, "event_time", stamps)), bundle.predict(sent))
    moments = [None, *sent["event_time"].to_pylist()[1:]]
    numbers = bundle.sums.numbers(sent.set_column(place, "event_time", pa.array(moments)), NUMERIC)
    assert all(np.isnan(values).tolist() == [True] + [False] * (len(sent) - 1) for values in numbers.values())
    with pytest.raises(DataContractError, match="impressions without the moment event_time"):
        bundle.predict(sent.drop_columns(["event_time"]))


def test_an_event_of_the_rows_own_day_or_known_later_changes_no_number():
    """Rows at noon of the eighth day; `more` happened that day, or days before it and was known that day or later."""
    noon = START + (8 * 24 + 11) * HOUR
    early = START + (8 * 24 + 1) * HOUR
    more = [(1, 1, early, early), (1, 2, early - 80 * HOUR, early), (2, 1, early - 80 * HOUR, noon + 50 * HOUR)]
    table = pa.table({"user": ["u1", "u2"], "event_time": [noon, noon]})

    def numbers(of):
        held = EntitySums.of_dense(sums("user", of), [f"u{dense}" for dense in range(1, 9)], ("count",))
        return AggregateSums(ZONE, {"user": held}).numbers(table, [f"user_{name}" for name in USER_NAMES])

    day_before = early - 30 * HOUR
    before, after, seen = numbers(events()), numbers(events(*more)), numbers(events((1, 1, day_before, day_before)))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)
    assert seen["user_count_3d"][0] > before["user_count_3d"][0], "an event of the day before counts"


def test_executors_look_up_the_days_that_are_requested_as_the_bundle_does():
    """Two users with sums and one without, who come in no order."""
    table, users, days = sums("user", events()), [5, 8, 2], {5: [19_806, 19_803], 8: [19_804], 2: [19_811]}
    of_user = {user: table.keys >> 32 == user for user in users}
    counted = day_rows(table, "user", ("count",))
    lists = {"daily_day": table.days, "daily_count": counted["count"].to_numpy()}
    columns = {"user": pa.array(users, pa.int32()), REQUESTED: pa.array([days[user] for user in users], pa.list_(pa.int32()))}
    columns |= {
        name: pa.array([values[of_user[user]].tolist() or None for user in users], pa.list_(pa.int32()))
        for name, values in lists.items()
    }
    (found,) = aggregate_reader("user", USER_NAMES)(iter([pa.RecordBatch.from_pydict(columns)]))
    pairs = [(user, day) for user in users for day in days[user]]
    assert list(zip(found["user"].to_pylist(), found["day"].to_pylist(), strict=True)) == pairs
    owners, moments = (np.array(values) for values in zip(*pairs, strict=True))
    np.testing.assert_array_equal(found["numbers"].to_pylist(), aggregates(table, USER_NAMES, ("count",), owners, moments))
    assert found["numbers"][0].as_py()[0] > 0 and found["numbers"][2].as_py() == [0.0, 0.0]


def test_the_sums_are_read_as_they_were_written(lake, bundle):
    root, snapshot = lake
    wanted = sums_of(snapshot, root)
    for entity, held in bundle.sums.of.items():
        assert held.raw_ids.equals(wanted.of[entity].raw_ids) and held.counters == wanted.of[entity].counters
        np.testing.assert_array_equal(held.table.keys, wanted.of[entity].table.keys)
        np.testing.assert_array_equal(held.table.sums, wanted.of[entity].table.sums)
    (bundle.folder / SUMS).rename(bundle.folder / "away")
    with pytest.raises(DataContractError, match=f"{SUMS} is missing"):
        _ = load_ctr_bundle(bundle.folder).sums
    (bundle.folder / "away").rename(bundle.folder / SUMS)


def test_without_aggregates_bundle_and_snapshot_are_what_they_were(tmp_path):
    torch.set_num_threads(1)
    snapshot = impression_lake(tmp_path)
    assert "timezone" not in snapshot.body["impressions"] and sums_of(snapshot, tmp_path) is None
    left = trained(ctr_job(tmp_path, snapshot, ctr_section("lr"), "bare"))
    folder = tmp_path / left["model_files"]["live"]
    assert not (folder / SUMS).exists() and "timezone" not in read_json(folder / "config.json")
    assert "features" not in left["training"] and load_ctr_bundle(folder).sums is None


def test_a_snapshot_without_the_sums_is_refused(lake):
    root, snapshot = lake
    bare = snapshot.model_copy(update={"parts": {k: v for k, v in snapshot.parts.items() if k != "user_features"}})
    with pytest.raises(DataContractError, match="pins no part user_features"):
        sums_of(bare, root)
