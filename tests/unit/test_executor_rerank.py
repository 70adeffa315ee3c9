"""Executors re-rank what the model lists: each rule's own item moves, scores stay the model's, every move is told."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from nightrank.feature_store.contracts.rerank_settings import RerankSettings
from nightrank.spark_jobs.executor import rerank
from nightrank.spark_jobs.executor.rerank import RerankRules, open_side, reranked

ITEMS, K = 8, 3
IDS = np.array([[5, 1, 2, 3, 4, 6], [5, 1, 2, 3, 4, 0]])
SCORES = np.array([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, -np.inf]], dtype=np.float32)
HISTORIES = [np.array([7, 8], np.int32), np.array([7], np.int32)]
MATRIX = torch.tensor([[0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [0, 1], [1, 1], [0, 1]], dtype=torch.float32)


@pytest.fixture
def side(tmp_path):
    """Items 5, 1 and 7 are of category 1, 3 and 8 of category 2, the others of none. Item 4 is new, 5 was chosen often."""
    columns = {
        "item": pa.array([1, 3, 4, 5, 7, 8, 99], pa.int32()),
        "category": pa.array([1, 2, 0, 1, 1, 2, 7], pa.int64()),
        "age_days": [90.0, 90.0, 1.0, 90.0, 90.0, 90.0, 0.0],
        "count": pa.array([0, 0, 0, 50, 0, 0, 9], pa.int64()),
    }
    pq.write_table(pa.table(columns), tmp_path / "side.parquet")
    return str(tmp_path)


def lists(side, **weights):
    ids, scores, moved = reranked(IDS, SCORES, HISTORIES, MATRIX, RerankRules(RerankSettings(**weights), side), K, K)
    own = dict(zip(IDS[0].tolist(), SCORES[0].tolist(), strict=True))
    assert scores.tolist() == [[own[item] for item in row] for row in ids.tolist()]
    assert all(set(row) <= set(listed.tolist()) for row, listed in zip(moved, ids, strict=True))
    return ids.tolist(), moved


def test_without_an_effect_the_head_of_the_candidates_is_left(side):
    assert lists(side, diversity=1e-9) == ([[5, 1, 2]] * 2, [{}, {}])


@pytest.mark.parametrize(
    ("weights", "first", "moved"),
    [
        ({"popularity": 1.0}, [1, 2, 3], {1: "popularity 2>1: is less popular"}),
        ({"freshness": 1.0, "half_life_days": 7.0}, [4, 5, 1], {4: "freshness 5>1: is newer", 5: "freshness 1>2: is older"}),
        ({"calibration": 0.95}, [5, 3, 1], {3: "calibration 4>2: the user's mix lacked its category"}),
        ({"diversity": 0.5}, [5, 3, 1], {3: "diversity 4>2: is unlike the items above"}),
        ({"new_share": 0.34}, [5, 1, 4], {4: "new items 5>3: is new and has a reserved place"}),
    ],
    ids=lambda value: next(iter(value), None) if isinstance(value, dict) else None,
)
def test_a_rule_moves_its_item_and_says_so(side, weights, first, moved):
    ids, told = lists(side, **weights)
    assert ids[0] == first
    assert {item: told[0].get(item) for item in moved} == moved


def test_a_session_is_of_the_newest_items(side):
    ids, told = lists(side, session=1.0, session_items=1)
    assert ids[0] == [3, 4, 5], "like item 8 alone: 0.4 + 1, 0.2 + 1, 1 + 0"
    assert told[0][3] == "session 4>1: is like the newest actions"
    # Item 7 is as much like everything: nothing moves.
    assert (ids[1], told[1]) == ([5, 1, 2], {})


def test_several_rules_tell_one_after_the_other(side):
    _, told = lists(side, popularity=0.5, diversity=0.5)
    assert any("; diversity " in text and text.startswith("popularity ") for text in told[0].values())
    assert set(rerank.REASONS) == {
        "popularity", "freshness", "session", "calibration", "diversity", "volume", "new items",
    }  # fmt: skip


def test_items_that_came_after_the_model_are_left_out_of_what_is_known(side):
    known = open_side(side, ITEMS + 1)
    assert (len(known.category_I), known.categories, known.counts_I.max()) == (ITEMS + 1, 3, 50)
    assert np.isnan(known.age_I[2])


def test_rules_are_on_from_the_first_weight():
    assert not RerankSettings().is_on and not RerankSettings(candidates=9, new_days=3.0).is_on
    assert RerankSettings(popularity=-0.1).is_on
