"""What executors compute, without Spark: block top-k, the baselines' scores, the fallback, all by hand or by definition."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.spark_jobs.executor import baselines
from nightrank.spark_jobs.executor.fallback import read_fallback
from nightrank.spark_jobs.executor.topk import top_k

VIEW, PURCHASE = ACTION_CODES["view"], ACTION_CODES["purchase"]


@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 5), st.integers(1, 12)), elements=st.sampled_from([-np.inf, -1.0, 0.0, 2.5])
    ),
    st.integers(1, 15),
)
def test_top_k_is_the_head_of_a_full_sort_with_ties_by_id(scores, k):
    ids, values = top_k(scores, k)
    for row in range(len(scores)):
        expected = sorted(range(scores.shape[1]), key=lambda item: (-scores[row, item], item))[:k]
        assert ids[row].tolist() == expected
        assert values[row].tolist() == scores[row, expected].tolist()


@pytest.fixture
def folder(tmp_path):
    """Five items: 3 and 1 are popular, ALS knows 1 to 3, 1 and 2 are neighbours of each other and 4 of 2."""
    pq.write_table(pa.table({"item": [1, 2, 3], "recent": [1, 0, 2], "total": [1, 9, 2]}), tmp_path / baselines.POPULAR)
    vectors = pa.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"id": pa.array([1, 2, 3], pa.int32()), "features": vectors}), tmp_path / baselines.ALS)
    pairs = {"item": [1, 2, 2], "neighbour": [2, 1, 4], "similarity": [0.5, 0.5, 0.25]}
    pq.write_table(pa.table(pairs), tmp_path / baselines.COOCCURRENCE)
    return tmp_path


def rules(folder, **changes):
    base = baselines.ListRules(str(folder), "test", 5, 5, 20, 0.1, 10.0, (VIEW,), None)
    return base._replace(**changes)


def examples(*rows):
    """(user, history with targets, loss_from[, actions[, times]])"""
    full = []
    for user, items, loss_from, *rest in rows:
        actions = rest[0] if rest else [VIEW] * len(items)
        times = rest[1] if len(rest) > 1 else list(range(len(items)))
        full.append((user, len(items), loss_from, "test", "history", 1.0, items, actions, times))
    columns = [pa.array(values, field.type) for values, field in zip(zip(*full, strict=True), schemas.EXAMPLES, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schemas.EXAMPLES)


def lists(folder, *rows, **changes):
    made = baselines.list_maker(rules(folder, **changes))(iter([examples(*rows)]))
    return {(row["recommender"], row["user"]): row["items"] for batch in made for row in batch.to_pylist()}


def test_popularity_is_recent_then_total_then_id_without_the_seen(folder):
    assert lists(folder, (7, [1, 9], 1))[(baselines.POPULAR, 7)] == [3, 2, 4, 5]


def test_cooccurrence_votes_by_recency_and_fills_with_popularity(folder):
    found = lists(folder, (7, [2, 5], 1), (8, [2, 1, 5], 2))
    assert found[(baselines.COOCCURRENCE, 7)] == [1, 4, 3, 5]
    assert found[(baselines.COOCCURRENCE, 8)] == [4, 3, 5]


def test_only_filtered_actions_and_young_enough_ones_hide(folder):
    row = (7, [3, 1, 5], 2, [PURCHASE, VIEW, VIEW], [0, 0, 10 * baselines.DAY])
    assert lists(folder, row)[(baselines.POPULAR, 7)] == [3, 2, 4, 5]
    assert lists(folder, row, seen_days=9)[(baselines.POPULAR, 7)] == [3, 1, 2, 4, 5]


def test_als_lists_what_lies_along_the_history_and_only_what_it_knows(folder):
    found = lists(folder, (7, [1, 5], 1), (8, [5, 1], 1), seen_actions=())
    assert found[(baselines.ALS, 7)] == [1, 2, 3]
    assert found[(baselines.ALS, 8)] == [3, 1, 2, 4, 5]


def test_fold_in_solves_the_normal_equations_of_implicit_als(folder):
    fitted = baselines.read_fitted(str(folder), 5)
    users, known = baselines.fold_in(fitted, [np.array([1, 3, 3]), np.array([5])], regularisation=0.1, alpha=10.0)
    y = fitted.factors_Id
    confidence, wanted = np.ones(6), np.zeros(6)
    confidence[[1, 3]], wanted[[1, 3]] = 11.0, 1.0
    left = y.T @ np.diag(confidence) @ y + 0.1 * 2 * np.eye(2)
    assert users[0] == pytest.approx(np.linalg.solve(left, y.T @ (confidence * wanted)))
    assert known.tolist() == [True, False]


def test_fallback_is_the_segment_then_everybody_then_the_id(tmp_path):
    rows = {"segment": ["", "", "", "de", "de"], "item": [2, 3, 9, 4, 3], "count": [5, 4, 8, 2, 1]}
    pq.write_table(pa.table(rows), tmp_path / "popular")
    fallback = read_fallback(tmp_path / "popular", range(1, 6))
    none = np.empty(0, dtype=np.int64)
    assert [part.tolist() for part in fallback.pick("de", none, 4)] == [[4, 3, 2, 1], [2.0, 1.0, 0.0, 0.0]]
    assert [part.tolist() for part in fallback.pick("", none, 9)] == [[2, 3, 1, 4, 5], [5.0, 4.0, 0.0, 0.0, 0.0]]
    assert fallback.pick("unknown", np.array([2, 1]), 2)[0].tolist() == [3, 4]
    assert fallback.pick("de", np.arange(1, 6), 3)[0].tolist() == []
