"""Rules of re-ranking, each by hand: what they move, what they leave, and what they do at their edges."""

import math

import numpy as np
import pytest

from nightrank.ranker.rerank.allowed import in_price_range, only_allowed, without
from nightrank.ranker.rerank.calibration import calibrated, divergence, shares
from nightrank.ranker.rerank.caps import NO_CAP, capped
from nightrank.ranker.rerank.dpp import dpp
from nightrank.ranker.rerank.exposure import with_new_items
from nightrank.ranker.rerank.filled import filled
from nightrank.ranker.rerank.freshness import fresher, freshness_of
from nightrank.ranker.rerank.lists import Lists, started
from nightrank.ranker.rerank.mmr import mmr
from nightrank.ranker.rerank.moves import moves
from nightrank.ranker.rerank.popularity import less_popular, popularity_of
from nightrank.ranker.rerank.session import nearer_session
from nightrank.ranker.rerank.vectors import unit_vectors

VECTORS = unit_vectors(np.array([[9, 9], [1, 0], [1, 0], [0, 1], [1, 1]], dtype=np.float64))


def lists_of(*rows: list[int]) -> Lists:
    """Scores fall by one a place."""
    ids = np.array(rows)
    return started(ids, -np.tile(np.arange(ids.shape[1], dtype=np.float64), (len(ids), 1)))


def ids_of(lists: Lists) -> list[list[int]]:
    return [[int(item) for item in row if item] for row in lists.ids_BC]


def test_equal_scores_are_in_order_of_the_id_and_relevance_is_from_1_to_0() -> None:
    lists = started(np.array([[7, 3, 5, 0]]), np.array([[1.0, 1.0, 3.0, 9.0]]))
    assert ids_of(lists) == [[5, 3, 7]]
    assert lists.relevance_BC.tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_a_list_of_equal_scores_is_all_relevant() -> None:
    assert started(np.array([[2, 1]]), np.array([[0.5, 0.5]])).relevance_BC.tolist() == [[1.0, 1.0]]


def test_mmr_takes_the_item_that_is_unlike_the_first() -> None:
    # After item 1, item 2 has 0.5 x 2/3 - 0.5 x 1 < 0, item 3 has 0.5 x 1/3 - 0, item 4 has 0 - 0.5 x 0.707.
    assert ids_of(mmr(lists_of([1, 2, 3, 4]), VECTORS, 4, 0.5)) == [[1, 3, 2, 4]]


def test_mmr_chooses_k_places_and_leaves_the_rest_in_order() -> None:
    assert ids_of(mmr(lists_of([1, 2, 4, 3]), VECTORS, 2, 1.0)) == [[1, 3, 2, 4]]


def test_dpp_agrees_with_determinants() -> None:
    lists, weight = lists_of([1, 2, 4, 3]), 0.6
    kernel = (1 + VECTORS @ VECTORS.T) / 2
    best = dpp(lists, VECTORS, 3, weight).ids_BC[0, :3].tolist()
    chosen: list[int] = []
    for _ in range(3):
        left = [item for item in lists.ids_BC[0].tolist() if item not in chosen]

        def value(item: int, chosen: list[int] = chosen) -> float:
            volume = np.linalg.det(kernel[np.ix_([*chosen, item], [*chosen, item])].astype(float))
            before = np.linalg.det(kernel[np.ix_(chosen, chosen)].astype(float)) if chosen else 1.0
            place = lists.ids_BC[0].tolist().index(item)
            return float((1 - weight) * lists.relevance_BC[0, place] + weight * math.log(max(volume / before, 1e-10)))

        chosen.append(max(left, key=value))
    assert best == chosen == [1, 3, 4]


def test_a_calibrated_list_has_the_shares_of_the_history() -> None:
    category = np.array([0, 1, 1, 1, 2, 2])
    history = np.array([[1, 4, 0, 0]])
    wanted = shares(history, category, 3)
    assert wanted.tolist() == [[0.0, 0.5, 0.5]]
    assert ids_of(calibrated(lists_of([1, 2, 3, 4, 5]), category, wanted, 4, 0.99)) == [[1, 4, 2, 5, 3]]


def test_divergence_is_nothing_for_equal_shares_and_finite_for_a_missing_category() -> None:
    half = np.array([[0.0, 0.5, 0.5]])
    assert divergence(half, half).tolist() == pytest.approx([0.0])
    # 0.5 log(0.5 / (0.99 + 0.005)) + 0.5 log(0.5 / 0.005)
    assert divergence(half, np.array([[0.0, 1.0, 0.0]])).tolist() == pytest.approx([1.9585], abs=1e-3)


def test_popular_items_give_way() -> None:
    popularity = popularity_of(np.array([0, 100, 0, 0]))
    assert ids_of(less_popular(lists_of([1, 2, 3]), popularity, 0.6)) == [[2, 1, 3]]
    assert ids_of(less_popular(lists_of([3, 2, 1]), popularity, -1.0)) == [[3, 1, 2]]


def test_freshness_halves_and_an_unknown_age_has_none() -> None:
    freshness = freshness_of(np.array([np.nan, 0.0, 7.0, -3.0]), 7.0)
    assert freshness.tolist() == [0.0, 1.0, 0.5, 1.0]
    assert ids_of(fresher(lists_of([2, 3, 1]), freshness, 1.5)) == [[3, 2, 1]]


def test_items_like_the_newest_actions_move_up() -> None:
    assert ids_of(nearer_session(lists_of([3, 4, 2]), VECTORS, np.array([[1, 0]]), 2.0)) == [[2, 4, 3]]


def test_a_new_item_takes_the_last_place_and_no_more_than_the_floor() -> None:
    new = np.array([False, False, False, False, True, True])
    assert ids_of(with_new_items(lists_of([1, 2, 3, 4, 5]), new, 3, 0.34)) == [[1, 2, 4, 3, 5]]
    assert ids_of(with_new_items(lists_of([4, 1, 2, 3, 5]), new, 3, 0.34)) == [[4, 1, 2, 3, 5]]
    assert ids_of(with_new_items(lists_of([1, 2, 3, 0, 0]), new, 3, 0.34)) == [[1, 2, 3]]


def test_forbidden_items_are_gone() -> None:
    price = np.array([np.nan, 5.0, 10.0, np.nan])
    assert ids_of(only_allowed(lists_of([1, 2, 3]), in_price_range(price, 6.0, None))) == [[2]]
    assert ids_of(only_allowed(lists_of([1, 2, 3]), in_price_range(price, None, None))) == [[1, 2, 3]]
    assert ids_of(without(lists_of([1, 2, 3], [1, 2, 3]), np.array([[2, 0], [3, 1]]))) == [[1, 3], [2]]


def test_a_category_keeps_its_first_items() -> None:
    category = np.array([0, 1, 1, 1, 2, 0])
    assert ids_of(capped(lists_of([3, 4, 1, 5, 2]), category, np.array([NO_CAP, 1, NO_CAP]))) == [[3, 4, 5]]
    assert ids_of(capped(lists_of([3, 4, 1]), category, np.array([NO_CAP, 0, 0]))) == [[]]


def test_a_short_list_is_filled_with_what_is_popular_and_not_the_users_own() -> None:
    found = filled(lists_of([4, 0, 0], [1, 2, 3]), np.array([1, 4, 2, 3]), np.array([[2], [0]]), 3)
    assert ids_of(found.lists) == [[4, 1, 3], [1, 2, 3]]
    assert found.filler_BK.tolist() == [[False, True, True], [False, False, False]]


def test_a_user_who_has_seen_everything_has_an_empty_list() -> None:
    found = filled(lists_of([0, 0]), np.array([1, 2]), np.array([[1, 2]]), 2)
    assert ids_of(found.lists) == [[]]
    assert not found.filler_BK.any()


def test_moves_name_what_a_rule_moved_and_not_what_closed_up() -> None:
    before, swapped = lists_of([1, 2, 3, 4]), lists_of([1, 3, 2, 4])
    found = moves(before, swapped)
    assert (found.item.tolist(), found.moved_from.tolist(), found.moved_to.tolist()) == ([3, 2], [3, 2], [2, 3])
    closed = moves(before, lists_of([2, 3, 4, 0]))
    assert len(closed.item) == 0
    came = moves(lists_of([1, 0]), lists_of([1, 7]))
    assert (came.item.tolist(), came.moved_from.tolist(), came.moved_to.tolist()) == ([7], [0], [2])
