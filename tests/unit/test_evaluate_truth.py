"""The evaluation's truth is the simulator's: the same probabilities, and lists that follow them day by day."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.pipeline.simulate import truth as simulator
from nightrank.trainer.data.epoch import iter_part
from nightrank.trainer.evaluation.recommenders import days_of
from nightrank.trainer.evaluation.truth import load_truth, true_probabilities
from nightrank.trainer.loop.validation import queries
from nightrank.trainer.stages import evaluate
from tests import evaluation_lake as lake

DAY = date(2024, 3, 1)
MICROS = (DAY - date(1970, 1, 1)).days * 86_400_000_000
USERS = 210


def write_truth(root, users=USERS):
    random = np.random.default_rng(8)
    items = pa.table(
        {
            "item_id": [f"i{i}" for i in range(1, lake.ITEMS + 1)],
            "category": random.integers(0, 4, lake.ITEMS),
            "style": random.normal(size=(lake.ITEMS, 3)).tolist(),
            "bias": random.normal(size=lake.ITEMS),
            "available_from": [date(2024, 3, 2) if i % 9 == 0 else date(2024, 1, 1) for i in range(lake.ITEMS)],
        },
        schema=simulator.ITEM_SCHEMA,
    )
    table = pa.table(
        {
            "user_id": [f"u{i}" for i in range(users, 0, -1)],
            "categories": [random.permutation(4)[:2].tolist() for _ in range(users)],
            "weights": [[0.7, 0.3]] * users,
            "style": random.normal(size=(users, 3)).tolist(),
        },
        schema=simulator.USER_SCHEMA,
    )
    (root / "truth" / "users").mkdir(parents=True)
    pq.write_table(items, root / "truth" / "items.parquet")
    pq.write_table(table, root / "truth" / "users" / f"day={DAY}.parquet")


def timed(root, users=USERS):
    """A snapshot whose targets happen on DAY."""
    rows = lake.sequences(users)
    shifted = [[MICROS + place for place in range(len(items))] for items in rows]
    return lake.published(root, rows, times=shifted)


def test_probabilities_are_the_simulators(tmp_path):
    write_truth(tmp_path)
    items, users = simulator.load_items(lake.Lake(tmp_path)), simulator.load_users(lake.Lake(tmp_path), DAY)
    weights = np.zeros((len(users), 4))
    np.put_along_axis(weights, users.categories_UK.astype(np.int64), users.weights_UK, axis=1)
    ours = true_probabilities(
        users.style_US.astype(float),
        weights,
        items.style_IS.astype(float),
        items.bias_I.astype(float),
        items.category_I.astype(np.int64),
        items.available(DAY),
    )
    np.testing.assert_allclose(ours, simulator.true_scores(items, users, DAY), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(ours.sum(axis=1), 1.0, rtol=1e-6)


def test_lists_follow_the_truth_of_the_day_without_seen_items(tmp_path):
    write_truth(tmp_path)
    snapshot = timed(tmp_path)
    truth = load_truth(snapshot, tmp_path)
    items, users = simulator.load_items(lake.Lake(tmp_path)), simulator.load_users(lake.Lake(tmp_path), DAY)
    scores = dict(zip(users.user_id, simulator.true_scores(items, users, DAY), strict=True))
    batch = next(iter_part(snapshot, tmp_path, "test", batch_rows=50))
    query = queries(batch, snapshot)
    lists = truth.lists(query, days_of(batch, query.kept_B), 10)
    bounds = query.history.offsets_B1.tolist()
    for row, user in enumerate(query.history.users_B.tolist()):
        chances = scores[f"u{user}"].copy()
        chances[np.array(query.history.items_T[bounds[row] : bounds[row + 1]]) - 1] = 0
        wanted = [int(i) + 1 for i in np.argsort(-chances, kind="stable")[:10] if chances[i] > 0]
        assert [int(item) for item in lists[row] if item] == wanted


def test_the_ceiling_stands_beside_the_model(tmp_path):
    write_truth(tmp_path, users=USERS - 5)
    snapshot = timed(tmp_path)
    context = lake.context_of(tmp_path)
    lake.trained(context, snapshot, lake.bundle(tmp_path, 1), lake.bundle(tmp_path, 2))
    result = evaluate.run(context)
    assert result.output.sections["evaluation"]["test"]["recommender"] == ["challenger", "truth"]


def test_there_is_no_truth_without_a_simulator_or_a_clock(tmp_path):
    snapshot = timed(tmp_path, 20)
    assert load_truth(snapshot, tmp_path) is None
    write_truth(tmp_path)
    assert load_truth(snapshot.model_copy(update={"clock": "position"}), tmp_path) is None


@pytest.mark.parametrize("available", [[False, False], [True, False]])
def test_what_is_not_available_has_no_chance(available):
    found = true_probabilities(
        np.ones((1, 1)), np.array([[0.6, 0.4]]), np.ones((2, 1)), np.zeros(2), np.array([0, 1]), np.array(available)
    )
    assert found.tolist() == [[0.6 if available[0] else 0.0, 0.0]]
