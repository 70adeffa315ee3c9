"""Hand tables for the rules that a wrong line would break in silence: late events, held-out positions, the seen window."""

import numpy as np
import pyarrow as pa
import pytest

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.training_rows import History, Limits, collapse
from nightrank.feature_store.user_rows import RowRules, user_rows
from nightrank.ranker.batch import Batch
from nightrank.spark_jobs.executor.users import ScoreRules, read_users
from nightrank.trainer.loop.validation import DAY_MICROSECONDS, queries
from tests.snapshots import make_snapshot

VIEW, PURCHASE = ACTION_CODES["view"], ACTION_CODES["purchase"]
LIMITS = Limits(max_length=10, overlap=5, min_history=1)


def history(items, times, available=None, fresh=None, today=None, weights=None) -> History:
    count = len(items)
    return History(
        items=np.array(items, dtype=np.int32),
        actions=np.full(count, VIEW, dtype=np.int8),
        times=np.array(times, dtype=np.int64),
        available=np.array(times if available is None else available, dtype=np.int64),
        fresh=np.array([False] * count if fresh is None else fresh),
        today=np.array([False] * count if today is None else today),
        weights=None if weights is None else np.array(weights, dtype=np.float32),
    )


def shown(split, *found):
    """(items in context, items in the loss) of every row of the split."""
    made, rows = found
    return [
        (
            made.items[row.cut.positions[: row.cut.loss_from]].tolist(),
            made.items[row.cut.positions[row.cut.loss_from :]].tolist(),
        )
        for row in rows
        if row.split == split
    ]


def test_a_label_never_sees_an_event_that_was_not_available_yet():
    # Item 2 happened at 20 and was reported at 35: the label at 30 must not see it, the label at 40 may.
    late = history([1, 2, 3, 4], [10, 20, 30, 40], available=[10, 35, 30, 40])
    found = user_rows(late, RowRules(LIMITS, "global_time", False, valid_from=99, test_from=99), False, False)
    assert shown("train", *found) == [([1], [2]), ([1], [3]), ([1, 2, 3], [4])]


def test_an_evaluation_row_never_sees_an_event_that_was_not_available_yet():
    late = history([1, 2, 3], [10, 20, 30], available=[10, 35, 30])
    found = user_rows(late, RowRules(LIMITS, "global_time", False, valid_from=25, test_from=99), False, False)
    assert shown("valid", *found) == [([1], [3])]


@pytest.mark.parametrize("kind", ["leave_one_out", "global_time", "night"])
def test_a_held_out_position_and_what_follows_it_is_in_no_loss(kind):
    items, times = [1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60]
    # Of today are items 4 and 5; item 6 is known but of tomorrow's date in this zone.
    mine = history(items, times, fresh=[False] * 3 + [True] * 3, today=[False] * 3 + [True, True, False])
    rules = RowRules(LIMITS, kind, False, valid_from=99, test_from=99)
    found = user_rows(mine, rules, True, False)
    assert shown("holdout", *found) == [([1, 2, 3, 4], [5])]
    learnt = [item for split in ("train", "refit") for _, labels in shown(split, *found) for item in labels]
    assert sorted(learnt) == ([4] if kind == "night" else [2, 3, 4])
    free = user_rows(mine, rules, False, False)
    assert any(5 in labels for split in ("train", "refit") for _, labels in shown(split, *free))


def test_a_label_has_its_weight_and_one_of_weight_zero_is_seen_but_neither_learnt_nor_a_target():
    mine = history([1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60], weights=[1, 0, 1, 5, 1, 0])
    made, rows = user_rows(mine, RowRules(LIMITS, "global_time", False, valid_from=45, test_from=99), False, False)
    labels = {made.items[position]: row.weight for row in rows if row.split in ("train", "refit")
              for position in row.cut.positions[row.cut.loss_from :]}  # fmt: skip
    assert labels == {3: 1.0, 4: 5.0, 5: 1.0}
    assert shown("valid", made, rows) == [([1, 2, 3, 4], [5])]


def test_the_weight_of_repeats_is_the_highest_that_was_known():
    mine = history([1, 2, 2, 2, 3], [10, 20, 21, 22, 23], available=[10, 20, 21, 90, 23], weights=[1, 0, 2, 9, 1])
    assert collapse(mine).weights.tolist() == [1, 2, 1]


@pytest.mark.parametrize(("days", "excluded", "targets"), [(None, [1, 2], [3]), (5, [2], [1, 3]), (20, [1, 2], [3])])
def test_validation_excludes_what_was_seen_inside_the_window(days, excluded, targets):
    times = [[0, 9 * DAY_MICROSECONDS, 10 * DAY_MICROSECONDS, 10 * DAY_MICROSECONDS + 1]]
    batch = Batch.from_lists([[1, 2, 1, 3]], actions=[[VIEW] * 4], times=times, loss_from=[2])
    snapshot = make_snapshot({}, items=3, filter_seen_actions=(VIEW,), filter_seen_days=days)
    query = queries(batch, snapshot)
    assert query.excluded[0].tolist() == excluded and query.targets[0].tolist() == targets


@pytest.mark.parametrize(("seen_from", "seen"), [(None, [1, 2]), (50, [2]), (101, [])])
def test_scoring_excludes_what_was_seen_inside_the_window(seen_from, seen):
    columns = {
        "user": pa.array([7], pa.int32()),
        "user_id": ["u7"],
        "segment": [""],
        "items": pa.array([[1, 2, 3]], pa.list_(pa.int32())),
        "actions": pa.array([[VIEW, VIEW, PURCHASE]], pa.list_(pa.int8())),
        "times": pa.array([[10, 100, 200]], pa.list_(pa.int64())),
    }
    rules = ScoreRules("bundle", "manifest", "popular", 3, 5, 10, 10, (VIEW, PURCHASE), False, (VIEW,), seen_from)
    users = read_users(pa.RecordBatch.from_pydict(columns), rules)
    assert [found.tolist() for found in users.seen] == [seen]
    against = rules._replace(seen_from=10**9, against_actions=(PURCHASE,))
    assert read_users(pa.RecordBatch.from_pydict(columns), against).seen[0].tolist() == [3], "hidden for ever"
    assert users.histories[0].items.tolist() == [1, 2, 3], "what is not hidden any more is still history"
