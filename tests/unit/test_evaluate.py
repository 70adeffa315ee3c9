"""Stage evaluate on a lake written by hand: everyone on the same rows, figures as computed by hand, slices and refusals."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.metrics.ranking import interval, paired_delta
from nightrank.trainer.evaluation.bootstrap import percentile_interval, resampled_means
from nightrank.trainer.evaluation.recommenders import without
from nightrank.trainer.evaluation.training_events import training_events
from nightrank.trainer.stages import evaluate
from tests import evaluation_lake as lake


def figure(rows, recommender, name, k=10, split="test", part="all"):
    found = [
        r for r in rows if (r["recommender"], r["name"], r["k"], r["split"], r["slice"]) == (recommender, name, k, split, part)
    ]
    assert len(found) == 1, (recommender, name, k, split, part)
    return found[0]


def stranger(items):
    return next(item for item in range(1, lake.ITEMS + 1) if item not in items)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    rows = lake.sequences()
    for items in rows[:250]:
        items[-1] = lake.ITEMS  # a cold target: never in training
    snapshot = lake.published(root, rows, rows)
    context = lake.context_of(root)
    lake.trained(context, snapshot, lake.bundle(root, 1), lake.bundle(root, 2))
    lake.ref_of(lake.bundle(root, 5, items=30), "run-0").save(root / "champion.json")
    perfect = [("als", s, user, [items[0], items[-1]]) for s in ("test", "holdout") for user, items in enumerate(rows, 1)]
    second = [("item_cooccurrence", "test", user, [stranger(items), items[-1]]) for user, items in enumerate(rows, 1)]
    hopeless = [("popular_7d", "test", user, []) for user in range(1, 3)]
    lake.write_lists(root, perfect + second + hopeless)
    return evaluate.run(context)


def test_everyone_is_measured_on_the_same_rows(outcome):
    assert outcome.output.sections["evaluation"]["test"] == {
        "rows": 300,
        "dropped": 0,
        "recommender": ["challenger", "popular_7d", "als", "item_cooccurrence"],
    }
    assert outcome.output.sections["evaluation"]["holdout"]["recommender"] == ["challenger", "champion", "als"]
    assert {row["n"] for row in outcome.output.sections["metrics"] if row["slice"] == "all"} == {300}


def test_figures_are_those_of_the_lists(outcome):
    rows = outcome.output.sections["metrics"]
    for name in ("recall", "ndcg", "mrr", "map", "hit_rate"):
        # The seen first item is taken out, so the target stands first.
        assert figure(rows, "als", name)["value"] == 1.0
        assert figure(rows, "als", name)["ci"] == [1.0, 1.0]
        assert figure(rows, "popular_7d", name)["value"] == 0.0
    assert figure(rows, "item_cooccurrence", "ndcg")["value"] == pytest.approx(1 / np.log2(3))
    assert figure(rows, "item_cooccurrence", "mrr", 20)["value"] == pytest.approx(0.5)
    assert figure(rows, "als", "coverage")["value"] == pytest.approx(
        len({items[-1] for items in lake.sequences()[250:]} | {lake.ITEMS}) / lake.ITEMS
    )
    assert 0 < figure(rows, "challenger", "recall", 20)["value"] < 1
    low, high = figure(rows, "challenger", "recall", 20)["ci"]
    assert low < figure(rows, "challenger", "recall", 20)["value"] < high


def test_cold_targets_are_a_slice_of_their_own(outcome):
    row = figure(outcome.output.sections["metrics"], "als", "ndcg", part="cold_items")
    assert (row["n"], row["value"]) == (250, 1.0)


def test_slices_by_history_cover_the_rows(outcome):
    names = ("history_0_5", "history_6_20", "history_over_20")
    counts = [figure(outcome.output.sections["metrics"], "als", "ndcg", part=name)["n"] for name in names]
    assert sum(counts) == 300
    assert figure(outcome.output.sections["metrics"], "als", "ndcg", part="history_over_20")["note"] == "not decidable"
    assert figure(outcome.output.sections["metrics"], "als", "ndcg", part="history_over_20")["value"] is None


def test_the_challenger_is_compared_with_everyone(outcome):
    found = {
        (r["against"], r["split"]): r
        for r in outcome.output.sections["comparisons"]
        if (r["slice"], r["name"], r["k"]) == ("all", "ndcg", 10)
    }
    assert set(found) == {
        ("popular_7d", "test"), ("als", "test"), ("item_cooccurrence", "test"), ("champion", "holdout"), ("als", "holdout"),
    }  # fmt: skip
    delta = found["als", "test"]
    value = figure(outcome.output.sections["metrics"], "challenger", "ndcg")["value"]
    assert delta["delta"] == pytest.approx(value - 1.0)
    assert delta["ci"][0] <= delta["delta"] <= delta["ci"][1] < 0
    assert found["popular_7d", "test"]["relative"] is None


def test_a_champion_with_fewer_items_is_asked_with_the_items_it_knows(outcome):
    """Its catalogue ends at 30: the cold item 40 can never be listed, and histories are cut to what it knows."""
    assert figure(outcome.output.sections["metrics"], "champion", "recall", split="holdout", part="cold_items")["value"] == 0.0


def test_few_rows_have_figures_with_wide_intervals_and_a_note(tmp_path):
    snapshot = lake.published(tmp_path, lake.sequences(20))
    context = lake.context_of(tmp_path)
    lake.trained(context, snapshot, lake.bundle(tmp_path, 1), lake.bundle(tmp_path, 2))
    rows = evaluate.run(context).output.sections["metrics"]
    assert {row["note"] for row in rows} == {"few rows", "not decidable"}
    assert all((row["value"] is None) == (row["n"] == 0) == (row["note"] == "not decidable") for row in rows)
    some = next(row for row in rows if (row["slice"], row["name"], row["k"]) == ("all", "ndcg", 10))
    assert some["n"] == 20 and some["ci"][0] < some["value"] < some["ci"][1] and some["ci"][1] - some["ci"][0] > 0.05


def test_a_list_that_names_an_unknown_item_is_refused(tmp_path):
    snapshot = lake.published(tmp_path, lake.sequences(20))
    context = lake.context_of(tmp_path)
    lake.trained(context, snapshot, None, lake.bundle(tmp_path, 2))
    lake.write_lists(tmp_path, [("als", "test", 1, [lake.ITEMS + 59])])
    with pytest.raises(DataContractError, match=r"a list of als names item 99, the vocabulary has 1\.\.40"):
        evaluate.run(context)


def test_targets_that_were_seen_are_dropped_and_counted(tmp_path):
    rows = lake.sequences(220)
    for items in rows[:7]:
        items[-1] = items[0]
    snapshot = lake.published(tmp_path, rows)
    context = lake.context_of(tmp_path)
    lake.trained(context, snapshot, lake.bundle(tmp_path, 1), lake.bundle(tmp_path, 2))
    found = evaluate.run(context).output.sections["evaluation"]
    assert found["test"] == {
        "rows": 213,
        "dropped": 7,
        "recommender": ["challenger"],
    }


def test_the_last_full_run_is_found_among_the_runs(tmp_path):
    rows = lake.sequences(205)
    snapshot = lake.published(tmp_path, rows, rows)
    context = lake.context_of(tmp_path, "run-9", "nightly")
    lake.trained(context, snapshot, None, lake.bundle(tmp_path, 2))
    for run_id, kind, day, version in (
        ("a", "full", "2024-01-01", 1),
        ("b", "full", "2024-02-01", 2),
        ("c", "nightly", "2024-02-09", 3),
    ):
        other = lake.context_of(tmp_path, run_id, kind)
        lake.ref_of(lake.bundle(tmp_path, version), run_id, version, day).save(other.run_dir / "model_ref.json")
    assert context.last_full_found().run_id == "b"
    result = evaluate.run(context)
    assert result.output.sections["evaluation"]["holdout"]["recommender"] == ["challenger", "last_full"]
    assert result.output.sections["evaluation"]["test"]["recommender"] == []


def test_a_night_counts_the_events_that_landed_before_its_day(tmp_path):
    days = [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    columns = {name: [None] * 6 for name in schemas.INTERACTIONS.names}
    columns |= {"item": [1, 2, 2, 3, 3, 3], "landing_date": [days[0], days[0], days[1], days[1], days[2], days[2]]}
    path = str(tmp_path / "tables" / "interactions")
    write_deltalake(path, pa.table(columns, schema=schemas.INTERACTIONS))
    snapshot = lake.published(tmp_path, lake.sequences(5)).model_copy(update={"kind": "nightly", "tables": {"interactions": 0}})
    write_deltalake(path, pa.table(columns, schema=schemas.INTERACTIONS), mode="append")
    assert training_events(snapshot, tmp_path, "holdout").tolist()[:5] == [0, 1, 2, 1, 0]


@given(st.integers(100, 400), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_intervals_agree_with_the_one_definition(rows, seed):
    values = np.random.default_rng(seed).choice([0.0, 0.3, 0.63, 1.0], (rows, 2))
    drawn = resampled_means(values, seed, 4000)
    error = values[:, 0].std() / np.sqrt(rows)
    _, low, high = interval(values[:, 0], seed, 4000)
    ours = percentile_interval(drawn[:, 0], 0.95)
    assert ours == pytest.approx((low, high), abs=0.25 * error + 1e-12)
    _, low, high = paired_delta(values[:, 0], values[:, 1], seed, 4000)
    error = (values[:, 0] - values[:, 1]).std() / np.sqrt(rows)
    assert percentile_interval(drawn[:, 0] - drawn[:, 1], 0.95) == pytest.approx((low, high), abs=0.25 * error + 1e-12)


def test_resamples_do_not_depend_on_the_size_of_a_chunk(monkeypatch):
    values = np.random.default_rng(0).random((50, 3))
    whole = resampled_means(values, 5, 200)
    monkeypatch.setattr("nightrank.trainer.evaluation.bootstrap.DRAWS", 300)
    np.testing.assert_allclose(resampled_means(values, 5, 200), whole)


@pytest.mark.parametrize(
    ("lists", "excluded", "offsets", "wanted"),
    [
        ([[3, 1, 2], [4, 5, 6]], [1, 6, 9], [0, 1, 3], [[3, 2], [4, 5]]),
        ([[3, 1, 2]], [3, 1, 2], [0, 3], [[0, 0]]),
        ([[3, 0, 0]], [], [0, 0], [[3, 0]]),
        ([[7]], [], [0, 0], [[7, 0]]),
    ],
)
def test_excluded_items_leave_a_list_in_order(lists, excluded, offsets, wanted):
    found = without(np.array(lists), np.array(excluded, np.int64), np.array(offsets), 2)
    assert found.tolist() == wanted
