"""Laws of every re-ranking rule: weight 0 returns its input; no item is added or doubled; the same input, the same list."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.ranker.rerank.allowed import only_allowed, without
from nightrank.ranker.rerank.calibration import calibrated, shares
from nightrank.ranker.rerank.caps import NO_CAP, capped
from nightrank.ranker.rerank.dpp import dpp
from nightrank.ranker.rerank.exposure import with_new_items
from nightrank.ranker.rerank.freshness import fresher
from nightrank.ranker.rerank.lists import Ids, Lists, cut, started
from nightrank.ranker.rerank.mmr import mmr
from nightrank.ranker.rerank.moves import moves
from nightrank.ranker.rerank.popularity import less_popular
from nightrank.ranker.rerank.session import nearer_session
from nightrank.ranker.rerank.vectors import unit_vectors

ITEMS, CATEGORIES, K = 30, 4, 5
SIDE = np.random.default_rng(3)
VECTORS = unit_vectors(SIDE.normal(size=(ITEMS + 1, 6)))
CATEGORY = np.concatenate([[0], SIDE.integers(0, CATEGORIES, ITEMS)])
SHARE = np.concatenate([[0.0], SIDE.random(ITEMS)])
NEW = np.concatenate([[False], SIDE.random(ITEMS) < 0.2])

Rule = Callable[[Lists, float], Lists]


def _of_users(lists: Lists) -> Ids:
    """Each user's newest items: ids that follow from the row's number."""
    newest: Ids = (np.arange(len(lists.ids_BC), dtype=np.int64)[:, None] * 7 + np.arange(3)) % (ITEMS + 1)
    return newest


WEIGHTED: dict[str, Rule] = {
    "mmr": lambda lists, weight: mmr(lists, VECTORS, K, weight),
    "dpp": lambda lists, weight: dpp(lists, VECTORS, K, weight),
    "calibration": lambda lists, weight: calibrated(lists, CATEGORY, shares(_of_users(lists), CATEGORY, CATEGORIES), K, weight),
    "popularity": lambda lists, weight: less_popular(lists, SHARE, weight),
    "freshness": lambda lists, weight: fresher(lists, SHARE, weight),
    "session": lambda lists, weight: nearer_session(lists, VECTORS, _of_users(lists), weight),
    "exposure": lambda lists, weight: with_new_items(lists, NEW, K, weight),
}
REMOVING: dict[str, Callable[[Lists], Lists]] = {
    "allowed": lambda lists: only_allowed(lists, ~NEW),
    "own items": lambda lists: without(lists, _of_users(lists)),
    "caps": lambda lists: capped(lists, CATEGORY, np.array([NO_CAP, 1, 0, 2])),
}


@st.composite
def some_lists(draw: st.DrawFn) -> Lists:
    rows, width = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = np.stack([random.permutation(np.arange(1, ITEMS + 1))[:width] for _ in range(rows)])
    ids[random.random(ids.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0
    levels = draw(st.sampled_from([1, 3, 1000]))  # few levels: many ties
    return started(ids, random.integers(0, levels, ids.shape).astype(np.float64))


def assert_equal(one: Lists, other: Lists) -> None:
    np.testing.assert_array_equal(one.ids_BC, other.ids_BC)
    np.testing.assert_array_equal(one.relevance_BC, other.relevance_BC)


@pytest.mark.parametrize("name", WEIGHTED)
@given(lists=some_lists())
@settings(max_examples=60, deadline=None)
def test_weight_0_returns_the_input(name: str, lists: Lists) -> None:
    assert_equal(WEIGHTED[name](lists, 0.0), lists)


@pytest.mark.parametrize("name", WEIGHTED)
@given(lists=some_lists(), weight=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_weighted_rule_returns_the_same_items_the_same_way_each_time(name: str, lists: Lists, weight: float) -> None:
    found = WEIGHTED[name](lists, weight)
    np.testing.assert_array_equal(np.sort(found.ids_BC, axis=1), np.sort(lists.ids_BC, axis=1))
    assert not (np.diff((found.ids_BC > 0).astype(int), axis=1) > 0).any(), "items stand first"
    assert not (np.diff(found.relevance_BC, axis=1) > 0).any(), "relevance falls along the list"
    assert_equal(WEIGHTED[name](lists, weight), found)
    alone = [WEIGHTED[name](Lists(lists.ids_BC[:1], lists.relevance_BC[:1]), weight).ids_BC[0]]
    np.testing.assert_array_equal(found.ids_BC[:1], alone)


@pytest.mark.parametrize("name", REMOVING)
@given(lists=some_lists())
@settings(max_examples=60, deadline=None)
def test_a_removing_rule_keeps_order_and_is_done_after_one_time(name: str, lists: Lists) -> None:
    found = REMOVING[name](lists)
    for before, after in zip(lists.ids_BC.tolist(), found.ids_BC.tolist(), strict=True):
        stays = [item for item in after if item]
        assert after == stays + [0] * (len(after) - len(stays))
        assert [item for item in before if item in set(stays)] == stays
    assert_equal(REMOVING[name](found), found)


@given(lists=some_lists(), k=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_exposure_floor_gives_new_items_their_share_where_there_are_any(lists: Lists, k: int) -> None:
    found = cut(with_new_items(lists, NEW, k, 0.5), k)
    wanted = np.minimum(k // 2, NEW[lists.ids_BC].sum(axis=1))
    assert (NEW[found.ids_BC].sum(axis=1) >= wanted).all()


@given(lists=some_lists(), weight=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_moves_lead_from_the_old_list_to_the_new_one(lists: Lists, weight: float) -> None:
    after = mmr(lists, VECTORS, K, weight)
    rebuilt = lists.ids_BC.copy()
    found = moves(lists, after)
    rebuilt[found.row, found.moved_to - 1] = found.item
    np.testing.assert_array_equal(rebuilt, after.ids_BC)
    assert (lists.ids_BC[found.row, found.moved_from - 1] == found.item).all()
