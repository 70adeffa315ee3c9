"""Which past labels are replayed: sizes, chances, quotas, and that what was chosen stays or leaves for good."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightrank.feature_store.replay_choice import exemplars, quota, reservoir
from nightrank.feature_store.training_rows import History, Limits
from nightrank.feature_store.user_rows import RowRules, user_rows

labels = st.lists(st.integers(0, 9), min_size=1, max_size=300)
wanted = st.integers(1, 400)


def draws(count, seed=0):
    return np.random.default_rng(seed).random(count)


@given(labels, labels, wanted)
def test_a_reservoir_only_loses_old_members_when_new_labels_come(old, new, events):
    priorities = draws(len(old) + len(new))
    before = reservoir(priorities[: len(old)], events)
    after = reservoir(priorities, events)[: len(old)]
    assert not (after & ~before).any()


def test_every_label_is_in_a_reservoir_with_the_same_chance():
    chosen = np.mean([reservoir(draws(50, seed), 10) for seed in range(4000)], axis=0)
    # 4,000 draws of probability 0.2: five standard deviations are 0.032.
    assert np.abs(chosen - 0.2).max() < 0.032


@given(labels, wanted, st.integers(0, 5))
def test_exemplars_fill_each_items_quota_with_its_lowest_priorities(items, events, seed):
    items, priorities, of_items = np.array(items), draws(len(items), seed), draws(10, seed + 100)
    chosen = exemplars(items, priorities, of_items, events)
    counts = np.bincount(items, minlength=10)
    np.testing.assert_array_equal(np.bincount(items[chosen], minlength=10), np.minimum(quota(counts, of_items, events), counts))
    for item in np.unique(items[chosen]):
        mine = items == item
        left = priorities[mine & ~chosen]
        assert not len(left) or priorities[mine & chosen].max() < left.min()


@pytest.mark.parametrize(
    ("count", "draw", "expected"), [(50, 0.0, 5), (50, 0.99, 5), (5, 0.49, 0), (5, 0.51, 1), (945, 0.0, 94), (945, 0.6, 95)]
)
def test_a_quota_is_the_share_rounded_by_the_draw(count, draw, expected):
    counts = np.array([count, 1000 - count])
    assert quota(counts, np.array([draw, 0.0]), 100)[0] == expected


def test_more_than_there_is_takes_all():
    items = np.array([0, 0, 1])
    assert exemplars(items, draws(3), draws(2), 50).all()
    assert reservoir(draws(3), 50).all()


def night(items, replay, fresh=None, replayed=False, collapse_repeats=False, max_length=5):
    count = len(items)
    history = History(
        items=np.array(items, dtype=np.int32),
        actions=np.ones(count, dtype=np.int8),
        times=np.arange(count, dtype=np.int64),
        available=np.arange(count, dtype=np.int64),
        fresh=np.zeros(count, dtype=bool) if fresh is None else np.array(fresh),
        today=np.zeros(count, dtype=bool),
        replay=None if replay is None else np.array(replay, dtype=bool),
    )
    rules = RowRules(Limits(max_length, 2, 1), "night", collapse_repeats)
    positions, rows = user_rows(history, rules, False, replayed)
    return [(row.source, positions.items[row.cut.positions].tolist(), row.cut.loss_from) for row in rows]


def test_single_events_are_replayed_with_what_came_before_them():
    assert night([1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 1, 0, 0, 0, 1, 1]) == [
        ("replay", [1, 2, 3], 2),
        ("replay", [4, 5, 6, 7, 8], 3),
    ]


def test_nothing_is_replayed_of_a_user_with_news_or_without_a_chosen_event():
    assert night([1, 2, 3], [0, 1, 0], fresh=[False, False, True]) == [("day", [1, 2, 3], 2)]
    assert night([1, 2, 3], [0, 0, 0], replayed=True) == []
    assert night([1, 2, 3], [1, 0, 0]) == [], "the first event has nothing before it"


def test_a_chosen_event_that_joins_its_neighbour_is_chosen_still():
    assert night([1, 2, 2, 3], [0, 0, 1, 0], collapse_repeats=True) == [("replay", [1, 2], 1)]
