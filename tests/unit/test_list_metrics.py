"""Figures of lists: RecTools' numbers on the same lists (a golden file, made by RecTools 0.19.0), and hand-computed edges."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nightrank.ranker.metrics import lists as figures
from nightrank.ranker.metrics.ranking import hits

GOLDEN = Path(__file__).parents[1] / "golden" / "list_metrics_rectools.json"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    body: dict[str, Any] = json.loads(GOLDEN.read_text())
    body["ids"] = np.array(body["ids"])
    body["counts"] = np.bincount(np.concatenate(body["histories"]), minlength=body["items"] + 1)
    return body


def test_diversity_is_that_of_rectools(golden: dict[str, Any]) -> None:
    found = figures.intra_list_diversity(golden["ids"], np.array(golden["vectors"]))
    np.testing.assert_allclose(found, golden["intra_list_diversity"], atol=1e-12)


def test_novelty_and_popularity_are_those_of_rectools(golden: dict[str, Any]) -> None:
    novelty = figures.inverse_user_frequency(golden["ids"], golden["counts"], len(golden["histories"]))
    np.testing.assert_allclose(novelty, golden["inverse_user_frequency"], atol=1e-12)
    popular = figures.average_popularity(golden["ids"], golden["counts"])
    np.testing.assert_allclose(popular, golden["average_popularity"], atol=1e-12)


def test_serendipity_and_coverage_are_those_of_rectools(golden: dict[str, Any]) -> None:
    offsets = np.arange(len(golden["targets"]) + 1) * len(golden["targets"][0])
    found, _ = hits(golden["ids"], np.concatenate(golden["targets"]), offsets)
    surprise = figures.serendipity(found, golden["ids"], golden["counts"], golden["items"])
    assert max(golden["serendipity"]) > 0
    np.testing.assert_allclose(surprise, golden["serendipity"], atol=1e-12)
    assert figures.coverage(golden["ids"], golden["items"]) == golden["distinct_items"] / golden["items"]


@pytest.mark.parametrize(
    ("ids", "gini"),
    [
        ([[1, 2], [3, 4]], 0.0),
        ([[1, 0], [1, 0]], 0.75),
        ([[1, 2], [1, 2]], 0.5),
        ([[0, 0]], 0.0),
    ],
    ids=["each item once", "one item alone", "two of four", "nothing listed"],
)
def test_gini(ids: list[list[int]], gini: float) -> None:
    assert figures.gini(np.array(ids), 4) == pytest.approx(gini)


def test_lift_is_what_lists_are_more_popular_than_histories() -> None:
    assert figures.popularity_lift(np.array([3.0, 5.0]), np.array([2.0, 2.0])) == pytest.approx(1.0)
