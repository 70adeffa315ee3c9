"""The nearest items of an item are the same whatever stands beside it in a task."""

import numpy as np
import pytest

from nightrank.spark_jobs.executor import topk

ITEMS = 3000


@pytest.fixture(scope="module")
def vectors():
    """Unit vectors [ITEMS + 1, 64]; a hundred items are alike."""
    found = np.random.default_rng(0).normal(size=(ITEMS + 1, 64)).astype(np.float32)
    found[100:200] = found[50]
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def near(vectors, items):
    rows = (row for block in topk.nearest(vectors, np.asarray(items), 30) for row in zip(*block, strict=True))
    return {int(item): (ids.tolist(), values.tolist()) for item, ids, values in rows}


@pytest.mark.parametrize("together", [1, 3, 64])
def test_neighbours_and_cosines_do_not_depend_on_the_task(vectors, together, monkeypatch):
    whole = near(vectors, range(1, ITEMS + 1))
    monkeypatch.setattr(topk, "CHUNK", 1000)
    for first in range(1, ITEMS - together, 97):
        for item, found in near(vectors, range(first, first + together)).items():
            assert found == whole[item]


def test_neighbours_are_those_of_all_products_with_equal_ones_by_id(vectors):
    ids, values = near(vectors, [50])[50]
    assert ids == list(range(100, 130)) and values == pytest.approx([1.0] * 30)
    products = vectors.astype(np.float64) @ vectors[7].astype(np.float64)
    products[[0, 7]] = -np.inf
    assert near(vectors, [7])[7][0] == np.lexsort((np.arange(ITEMS + 1), -products.astype(np.float32)))[:30].tolist()
