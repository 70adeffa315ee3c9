"""Metrics against tables computed by hand and against torchmetrics."""

from math import log2

import numpy as np
import pytest
import torch
from torchmetrics.functional import retrieval

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.metrics.ranking import hits, interval, novelty, paired_delta, per_row

D1, D2, D3, D4 = 1.0, 1 / log2(3), 0.5, 1 / log2(5)

BY_HAND = [
    # name, list, targets, k, recall, ndcg, mrr, map, hit
    ("hit_first", [5, 2, 3], [5], 3, 1, 1, 1, 1, 1),
    ("hit_last", [2, 3, 5], [5], 3, 1, D3 / D1, 1 / 3, 1 / 3, 1),
    ("hit_below_k", [2, 3, 5], [5], 2, 0, 0, 0, 0, 0),
    ("miss", [1, 2, 3], [9], 3, 0, 0, 0, 0, 0),
    ("two_of_two", [1, 9, 2], [1, 2], 3, 1, (D1 + D3) / (D1 + D2), 1, (1 + 2 / 3) / 2, 1),
    ("more_targets_than_k", [1, 9], [1, 2, 3, 4], 2, 1 / 4, D1 / (D1 + D2), 1, 1 / 2, 1),
    ("target_named_twice_counts_once", [5, 2, 3], [5, 5], 3, 1, 1, 1, 1, 1),
    ("item_listed_twice_hits_once", [5, 5, 3], [5, 3], 3, 1, (D1 + D3) / (D1 + D2), 1, (1 + 2 / 3) / 2, 1),
    ("padding_never_hits", [0, 0, 5], [5], 3, 1, D3, 1 / 3, 1 / 3, 1),
    ("list_shorter_than_k", [7, 5], [5, 6], 4, 1 / 2, D2 / (D1 + D2), 1 / 2, (1 / 2) / 2, 1),
    ("empty_list", [], [5], 3, 0, 0, 0, 0, 0),
]


@pytest.mark.parametrize(
    ("listed", "targets", "k", "recall", "ndcg", "mrr", "mean_precision", "hit"),
    [row[1:] for row in BY_HAND],
    ids=[row[0] for row in BY_HAND],
)
def test_by_hand(listed, targets, k, recall, ndcg, mrr, mean_precision, hit):
    got = per_row(np.array([listed], dtype=np.int64), np.array(targets), np.array([0, len(targets)]), ks=(k,))
    wanted = {"recall": recall, "ndcg": ndcg, "mrr": mrr, "map": mean_precision, "hit_rate": hit}
    assert {name: values[0] for name, values in got.items()} == pytest.approx({f"{n}@{k}": v for n, v in wanted.items()})


def random_case(seed, rows=40, items=60):
    rng = np.random.default_rng(seed)
    lists = np.stack([rng.permutation(np.arange(1, items + 1)) for _ in range(rows)])
    targets = [rng.choice(np.arange(1, items + 1), rng.integers(1, 15), replace=False) for _ in range(rows)]
    return lists, targets


@pytest.mark.parametrize("k", [1, 5, 10, 60])
def test_agrees_with_torchmetrics(k):
    """torchmetrics divides average precision by the hits within k, so it is compared where every target is listed."""
    lists, targets = random_case(k)
    ours = per_row(lists, np.concatenate(targets), np.cumsum([0, *map(len, targets)]), ks=(k,))
    theirs = {
        "recall": retrieval.retrieval_recall,
        "ndcg": retrieval.retrieval_normalized_dcg,
        "mrr": retrieval.retrieval_reciprocal_rank,
        "hit_rate": retrieval.retrieval_hit_rate,
    } | ({"map": retrieval.retrieval_average_precision} if k == lists.shape[1] else {})
    for row, (listed, wanted) in enumerate(zip(lists, targets, strict=True)):
        scores = torch.arange(len(listed), 0, -1, dtype=torch.float64)  # positive: torchmetrics drops what scores 0 or less
        relevant = torch.from_numpy(np.isin(listed, wanted))
        for name, function in theirs.items():
            assert ours[f"{name}@{k}"][row] == pytest.approx(float(function(scores, relevant, top_k=k)), abs=1e-6), name


def test_several_rows_and_ks_at_once_equal_one_at_a_time():
    lists, targets = random_case(7)
    whole = per_row(lists, np.concatenate(targets), np.cumsum([0, *map(len, targets)]), ks=(5, 20))
    for row in range(len(lists)):
        for k in (5, 20):
            alone = per_row(lists[row : row + 1], targets[row], np.array([0, len(targets[row])]), ks=(k,))
            for name, values in alone.items():
                assert whole[name][row] == pytest.approx(values[0])


def test_a_row_without_target_is_refused():
    with pytest.raises(DataContractError, match="1 rows have no target"):
        per_row(np.array([[1], [2]]), np.array([1]), np.array([0, 1, 1]))


def test_lists_and_targets_of_different_length_are_refused():
    with pytest.raises(DataContractError, match="2 lists came with 1 target rows"):
        per_row(np.array([[1], [2]]), np.array([1]), np.array([0, 1]))


def test_novelty_is_the_mean_self_information():
    popularity = np.array([0, 6, 2, 0])
    lists = np.array([[1, 2], [2, 0], [3, 0], [0, 0]])
    assert novelty(lists, popularity) == pytest.approx([(log2(8 / 6) + 2) / 2, 2.0, 3.0, 0.0])


def test_the_interval_of_a_constant_is_a_point_and_of_nothing_is_nan():
    assert interval(np.full(500, 0.25), seed=1) == (0.25, 0.25, 0.25)
    assert np.isnan(interval(np.zeros(0), seed=1)).all()


@pytest.mark.parametrize("kind", ["few distinct values", "all distinct"])
def test_the_interval_matches_the_normal_one_for_many_rows(kind):
    values = np.random.default_rng(3).random(2000)
    values = (values < 0.3).astype(float) if kind == "few distinct values" else values
    mean, low, high = interval(values, seed=5)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert mean == values.mean()
    assert (mean - low, high - mean) == pytest.approx((half, half), rel=0.15)
    assert interval(values, seed=5) == (mean, low, high)


def test_paired_delta_sees_what_two_intervals_cannot():
    rng = np.random.default_rng(0)
    base = rng.random(1000)
    delta, low, high = paired_delta(base + 0.01, base, seed=1)
    assert delta == pytest.approx(0.01)
    assert (low, high) == pytest.approx((0.01, 0.01))
    with pytest.raises(DataContractError, match="1000 and 2"):
        paired_delta(base, base[:2], seed=1)


def test_without_ks_lists_are_measured_at_10_and_20():
    found = per_row(np.array([[1]]), np.array([1]), np.array([0, 1]))
    assert set(found) == {f"{name}@{k}" for name in ("recall", "ndcg", "mrr", "map", "hit_rate") for k in (10, 20)}


def test_no_row_gives_no_value():
    found = per_row(np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64), np.array([0]), ks=(2,))
    assert {len(values) for values in found.values()} == {0}


def naive_hits(listed, targets):
    return [item in targets and item > 0 and item not in listed[:place] for place, item in enumerate(listed)]


@pytest.mark.parametrize(("width", "items"), [(3, 5), (64, 20), (300, 60)])
def test_hits_equal_the_definition_in_wide_lists_with_repeats_padding_and_unknown_items(width, items):
    """Ids 0 stand for padding, on either side; ids above every target stand in lists, ids above every listed one in targets."""
    rng = np.random.default_rng(width)
    lists = rng.integers(0, items + 30, (25, width))
    targets = [rng.integers(0, items, rng.integers(1, 9)) for _ in range(24)] + [np.array([items + 1000])]
    found, counts = hits(lists, np.concatenate(targets), np.cumsum([0, *map(len, targets)]))
    assert found.tolist() == [
        naive_hits(row, set(wanted.tolist())) for row, wanted in zip(lists.tolist(), targets, strict=True)
    ]
    assert counts.tolist() == [len(set(wanted.tolist())) for wanted in targets]


def test_an_item_above_every_target_does_not_hit_the_target_of_the_next_row():
    found, _ = hits(np.array([[11, 6], [5, 4]]), np.array([5, 5]), np.array([0, 1, 2]))
    assert found.tolist() == [[False, False], [True, False]]


def test_offsets_of_a_slice_begin_anywhere():
    lists, flat, offsets = np.array([[1], [2]]), np.array([1, 3, 2]), np.array([0, 1, 3])
    for first in (0, 7):
        found, counts = hits(lists, flat, offsets + first)
        assert (found.tolist(), counts.tolist()) == ([[True], [True]], [1, 2])


def test_all_rows_without_a_target_are_counted():
    with pytest.raises(DataContractError, match="2 rows have no target"):
        per_row(np.array([[1], [2], [3]]), np.array([1]), np.array([0, 1, 1, 1]))


@pytest.mark.parametrize("offsets", [[0, 1], [0, 1, 2, 2], [0, 1, 1]])
def test_targets_that_do_not_belong_to_the_lists_are_refused(offsets):
    with pytest.raises(DataContractError, match=f"2 lists came with {len(offsets) - 1} target rows of 2 targets"):
        per_row(np.array([[1], [2]]), np.array([1, 2]), np.array(offsets))


def test_novelty_without_any_interaction_is_nothing():
    assert novelty(np.array([[1, 2], [0, 0]]), np.zeros(3)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("level", "deviations"), [(0.95, 1.96), (0.5, 0.674)])
def test_an_interval_leaves_half_of_what_is_outside_on_each_side(level, deviations):
    values = np.random.default_rng(9).permutation(np.repeat([0.0, 1.0], 5000))
    mean, low, high = interval(values, seed=2, samples=20_000, level=level)
    half = deviations * 0.5 / np.sqrt(10_000)
    assert (mean - low, high - mean) == pytest.approx((half, half), rel=0.04)


def test_an_interval_is_of_95_percent_from_1000_samples_unless_told_otherwise():
    a, b = np.random.default_rng(4).random((2, 400))
    assert interval(a, 7) == interval(a, 7, samples=1000, level=0.95)
    assert paired_delta(a, b, 7) == paired_delta(a, b, 7, 1000, 0.95) == interval(a - b, 7, 1000, 0.95)
    assert paired_delta(a, b, 8) == paired_delta(a, b, 8) != paired_delta(a, b, 7)
    assert paired_delta(a, b, 7, 500, 0.8) == interval(a - b, 7, 500, 0.8)


@pytest.mark.parametrize("place", [0, 150, -1])
def test_a_resample_draws_every_row_equally_often(place):
    """Of one row a resample holds 3 or fewer with a probability of 98.1 %, 2 or fewer with 92 %: 3 ends the interval."""
    values = np.arange(300) * 1e-6
    values[place] = 300.0
    _, low, high = interval(values, seed=1, samples=3000)
    assert (round(low), round(high)) == (0, 3)
