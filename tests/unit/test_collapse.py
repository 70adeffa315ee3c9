"""Repeats of one item as one position: what it keeps, and what it must not tell a label before it was known."""

import numpy as np
import pytest

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.training_rows import History, collapse

VIEW, CLICK, PURCHASE = (ACTION_CODES[name] for name in ("view", "click", "purchase"))


def history(items, times, available=None, actions=None, fresh=None, today=None, weights=None) -> History:
    count = len(items)
    return History(
        items=np.array(items, dtype=np.int32),
        actions=np.array([VIEW] * count if actions is None else actions, dtype=np.int8),
        times=np.array(times, dtype=np.int64),
        available=np.array(times if available is None else available, dtype=np.int64),
        fresh=np.array([False] * count if fresh is None else fresh),
        today=np.array([False] * count if today is None else today),
        weights=None if weights is None else np.array(weights, dtype=np.float32),
    )


def test_two_events_on_one_item_are_one_position():
    h = collapse(history([7, 7], times=[1, 2], actions=[VIEW, CLICK]))
    assert (h.items.tolist(), h.times.tolist(), h.actions.tolist()) == ([7], [1], [CLICK])


@pytest.mark.parametrize(
    ("start", "available", "action"),
    [(20, 39, PURCHASE), (20, 40, VIEW), (20, 60, VIEW), (40, 60, PURCHASE), (41, 60, PURCHASE), (41, 61, VIEW)],
    ids=["known before the cut", "at the cut", "after it", "a run from the cut on", "after the cut", "after the next label"],
)
def test_an_event_that_was_known_only_after_a_cut_is_not_told_before_it(start, available, action):
    """Item 2 was viewed at `start` and then bought; the purchase became known at `available`. The next label is at 60."""
    raw = history([1, 2, 2, 3], [10, start, start + 1, 60], [10, start, available, 60], [VIEW, VIEW, PURCHASE, VIEW])
    assert collapse(raw, (40, 99)).actions.tolist() == [VIEW, action, VIEW]


def test_a_run_is_cut_where_a_time_is_crossed():
    h = collapse(history([7, 7, 7, 7], times=[38, 39, 40, 41]), (40, 60))
    assert (h.items.tolist(), h.times.tolist()) == ([7, 7], [38, 40])


def test_a_position_is_fresh_if_all_its_events_are_and_of_the_day_of_its_first():
    h = collapse(history([7, 7, 8, 8], [1, 2, 3, 4], fresh=[False, True, True, True], today=[False, True, True, False]))
    assert (h.fresh.tolist(), h.today.tolist()) == ([False, True], [False, True])


@pytest.mark.parametrize(("available", "weight"), [(21, 9), (23, 9), (24, 0)])
def test_a_weight_that_was_not_known_in_time_does_not_count(available, weight):
    mine = history([1, 2, 2, 3], [10, 20, 21, 23], available=[10, 20, available, 23], weights=[1, 0, 9, 1])
    assert collapse(mine).weights.tolist() == [1, weight, 1]
