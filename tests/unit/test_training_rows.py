"""Laws of the training row, over random histories with late events, ties and repeats."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.training_rows import Cut, History, Limits, collapse, context, evaluation_row, loss_rows
from nightrank.feature_store.user_rows import RowRules, user_rows

VIEW, CLICK, PURCHASE = (ACTION_CODES[name] for name in ("view", "click", "purchase"))
VALID_FROM, TEST_FROM, TODAY_FROM = 40, 60, 80


def history(items, times=None, available=None, actions=None, fresh=None, today=None) -> History:
    times = np.array(range(len(items)) if times is None else times, dtype=np.int64)
    return History(
        items=np.array(items, dtype=np.int32),
        actions=np.array([VIEW] * len(items) if actions is None else actions, dtype=np.int8),
        times=times,
        available=times if available is None else np.array(available, dtype=np.int64),
        fresh=np.zeros(len(items), dtype=bool) if fresh is None else np.array(fresh, dtype=bool),
        today=times >= TODAY_FROM if today is None else np.array(today, dtype=bool),
    )


@st.composite
def histories(draw, late=True) -> History:
    count = draw(st.integers(0, 40))
    times = sorted(draw(st.lists(st.integers(0, 99), min_size=count, max_size=count)))
    delays = draw(st.lists(st.sampled_from([0, 0, 0, 5, 30]) if late else st.just(0), min_size=count, max_size=count))
    items = draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
    actions = draw(st.lists(st.sampled_from([VIEW, CLICK, PURCHASE]), min_size=count, max_size=count))
    fresh = [time + delay >= TODAY_FROM for time, delay in zip(times, delays, strict=True)]
    return history(items, times, [t + d for t, d in zip(times, delays, strict=True)], actions, fresh)


limits = st.builds(
    lambda length, overlap, least: Limits(length, min(overlap, length - 1), min(least, length - 1)),
    st.integers(2, 12),
    st.integers(1, 11),
    st.integers(1, 3),
)


@st.composite
def rules(draw) -> RowRules:
    return RowRules(
        limits=draw(limits),
        kind=draw(st.sampled_from(["leave_one_out", "global_time", "night"])),
        collapse_repeats=draw(st.booleans()),
        valid_from=VALID_FROM,
        test_from=TEST_FROM,
        target_actions=draw(st.sampled_from([None, (PURCHASE,)])),
    )


def losses(cuts: list[Cut]) -> list[int]:
    return [int(p) for cut in cuts for p in cut.positions[cut.loss_from :]]


@given(histories(), limits, st.randoms())
def test_every_label_that_has_something_to_see_is_in_exactly_one_row(h, limit, random):
    labels = np.array([random.random() < 0.7 for _ in h.items], dtype=bool)
    expected = [j for j in np.flatnonzero(labels) if len(context(h, int(j))) >= limit.min_history]
    assert sorted(losses(loss_rows(h, labels, limit))) == expected


@given(histories(), limits)
def test_a_label_sees_only_earlier_positions_that_were_available_and_the_newest_of_them(h, limit):
    for cut in loss_rows(h, np.ones(len(h.items), dtype=bool), limit):
        assert 1 <= cut.loss_from < len(cut.positions) <= limit.max_length
        for at in range(cut.loss_from, len(cut.positions)):
            label, seen = int(cut.positions[at]), cut.positions[:at]
            assert (h.available[seen] <= h.times[label]).all()
            assert seen.tolist() == context(h, label)[len(context(h, label)) - at :].tolist()


@given(histories(late=False), limits)
def test_without_late_events_chunks_follow_each_other_with_the_overlap(h, limit):
    rows = loss_rows(h, np.ones(len(h.items), dtype=bool), limit)
    for before, after in pairwise(rows):
        assert after.positions[0] == before.positions[-1] + 1 - limit.overlap
        assert after.loss_from == limit.overlap


@given(histories(), rules(), st.booleans(), st.booleans())
@settings(max_examples=400)
def test_splits_partition_what_may_be_learnt_and_leak_nothing(raw, rule, held_out, replayed):
    h, rows = user_rows(raw, rule, held_out, replayed)
    by_split = {name: [r.cut for r in rows if r.split == name] for name in ("train", "refit", "valid", "test", "holdout")}
    learnt = losses(by_split["train"]) + losses(by_split["refit"])
    assert len(learnt) == len(set(learnt)), "a position is in two losses"
    kept = {int(cut.positions[-1]) for cut in by_split["holdout"]}
    assert not kept & set(learnt)
    for row in rows:
        seen = row.cut.positions[: row.cut.loss_from]
        first = row.cut.positions[row.cut.loss_from]
        assert (h.available[seen] <= h.times[first]).all() and (seen < first).all()
    if rule.kind != "night":
        able = {j for j in range(len(h.items)) if len(context(h, j)) >= rule.limits.min_history}
        held = min(kept, default=len(h.items)) if kept else _held_without_row(h, rule, held_out)
        assert set(learnt) == {j for j in able if j < held}
        measured = set(losses(by_split["valid"])) | set(losses(by_split["test"]))
        assert not measured & set(losses(by_split["train"]))
        assert max(losses(by_split["train"]), default=-1) < min(measured, default=len(h.items)) or rule.kind == "global_time"


def _held_without_row(h, rule, held_out):
    """A held-out position too early to be asked for still ends what may be learnt."""
    able = h.today if rule.target_actions is None else h.today & np.isin(h.actions, rule.target_actions)
    return int(np.flatnonzero(able)[-1]) if held_out and able.any() else len(h.items)


@given(histories(), rules(), st.booleans())
def test_what_trains_before_a_time_cut_was_known_before_it(raw, rule, held_out):
    h, rows = user_rows(raw, rule._replace(kind="global_time"), held_out, False)
    for row in rows:
        if row.split == "train":
            assert (h.times[row.cut.positions] < VALID_FROM).all()
            assert (h.available[row.cut.positions[row.cut.loss_from :]] < VALID_FROM).all()
        if row.split in ("valid", "test"):
            cut = VALID_FROM if row.split == "valid" else TEST_FROM
            targets = row.cut.positions[row.cut.loss_from :]
            assert (h.times[row.cut.positions[: row.cut.loss_from]] < cut).all() and (h.times[targets] >= cut).all()


@given(histories())
def test_collapsing_shows_a_later_label_only_what_was_known_by_then(raw):
    h = collapse(raw, (VALID_FROM,))
    assert (np.diff(h.times) >= 0).all()
    for label in range(len(h.items)):
        for seen in context(h, label):
            members = np.flatnonzero((raw.items == h.items[seen]) & (raw.available <= h.times[label]))
            assert h.times[seen] in raw.times[members]
            assert h.actions[seen] in raw.actions[members]


def test_a_run_of_repeats_keeps_its_first_time_and_its_strongest_action():
    h = collapse(history([7, 7, 7, 8], times=[1, 2, 3, 4], actions=[VIEW, PURCHASE, CLICK, VIEW]))
    assert h.items.tolist() == [7, 8] and h.times.tolist() == [1, 4] and h.actions.tolist() == [PURCHASE, VIEW]


def test_a_late_member_of_a_run_does_not_tell_its_action_to_the_next_label():
    h = collapse(history([7, 7, 8], times=[1, 2, 3], available=[1, 50, 3], actions=[VIEW, PURCHASE, VIEW]))
    assert h.actions.tolist() == [VIEW, VIEW] and h.available.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, []),
        (2, [([0, 1], 1)]),
        (5, [([0, 1, 2, 3, 4], 1)]),
        (6, [([0, 1, 2, 3, 4], 1), ([3, 4, 5], 2)]),
        (9, [([0, 1, 2, 3, 4], 1), ([3, 4, 5, 6, 7], 2), ([6, 7, 8], 2)]),
    ],
)
def test_chunks_of_five_with_two_of_overlap(count, expected):
    rows = loss_rows(history(range(1, count + 1)), np.ones(count, dtype=bool), Limits(5, 2, 1))
    assert [(row.positions.tolist(), row.loss_from) for row in rows] == expected


def test_a_late_event_splits_the_row():
    # Position 1 happened at 1 and arrived at 3: the label at 2 may not see it, the labels at 3 and 4 may.
    h = history([1, 2, 3, 4, 5], available=[0, 3, 2, 3, 4])
    rows = loss_rows(h, np.ones(5, dtype=bool), Limits(10, 2, 1))
    assert [(row.positions.tolist(), row.loss_from) for row in rows] == [
        ([0, 1], 1),
        ([0, 2], 1),
        ([0, 1, 2, 3, 4], 3),
    ]


def test_labels_with_gaps_make_rows_that_end_at_their_labels():
    rows = loss_rows(history(range(1, 7)), np.array([False, True, True, False, True, True]), Limits(10, 2, 1))
    assert [(row.positions.tolist(), row.loss_from) for row in rows] == [([0, 1, 2], 1), ([0, 1, 2, 3, 4, 5], 4)]


def test_a_history_in_which_every_event_is_late_has_nothing_to_learn():
    h = history([1, 2, 3], times=[1, 2, 3], available=[8, 9, 9])
    assert loss_rows(h, np.ones(3, dtype=bool), Limits(10, 2, 1)) == []


def rule(kind, **changes) -> RowRules:
    return RowRules(Limits(5, 2, 1), kind, True, VALID_FROM, TEST_FROM)._replace(**changes)


def found(rows) -> dict:
    result: dict = {}
    for row in rows:
        result.setdefault(row.split, []).append((row.cut.positions.tolist(), row.cut.loss_from))
    return result


def test_leave_one_out_of_four():
    _, rows = user_rows(history([1, 2, 3, 4]), rule("leave_one_out"), False, False)
    assert found(rows) == {
        "train": [([0, 1], 1)],
        "refit": [([0, 1, 2, 3], 2)],
        "valid": [([0, 1, 2], 2)],
        "test": [([0, 1, 2, 3], 3)],
    }


def test_leave_one_out_of_three_has_no_train_row_and_of_two_only_that():
    _, three = user_rows(history([1, 2, 3]), rule("leave_one_out"), False, False)
    assert found(three) == {"refit": [([0, 1, 2], 1)], "valid": [([0, 1], 1)], "test": [([0, 1, 2], 2)]}
    _, two = user_rows(history([1, 2]), rule("leave_one_out"), False, False)
    assert found(two) == {"train": [([0, 1], 1)]}


def test_a_held_out_last_event_leaves_the_refit():
    h = history([1, 2, 3, 4], times=[1, 2, 3, 90])
    _, rows = user_rows(h, rule("leave_one_out"), True, False)
    assert found(rows)["refit"] == [([0, 1, 2], 2)] and found(rows)["holdout"] == [([0, 1, 2, 3], 3)]


def test_global_time_targets_are_all_events_of_the_window():
    h = history([1, 2, 3, 4, 5], times=[1, 2, 45, 65, 70])
    _, rows = user_rows(h, rule("global_time"), False, False)
    assert found(rows) == {
        "train": [([0, 1], 1)],
        "refit": [([0, 1, 2, 3, 4], 2)],
        "valid": [([0, 1, 2], 2)],
        "test": [([0, 1, 2, 3, 4], 3)],
    }


def test_a_night_learns_the_new_positions_and_replays_users_without_any():
    touched = history(range(1, 9), fresh=[False] * 6 + [True] * 2)
    _, rows = user_rows(touched, rule("night"), False, True)
    assert [(r.source, r.cut.positions.tolist(), r.cut.loss_from) for r in rows] == [("day", [3, 4, 5, 6, 7], 3)]
    _, rows = user_rows(history(range(1, 9)), rule("night"), False, True)
    assert [(r.source, r.cut.positions.tolist(), r.cut.loss_from) for r in rows] == [("replay", [3, 4, 5, 6, 7], 1)]
    assert user_rows(history(range(1, 9)), rule("night"), False, False)[1] == []


def test_an_evaluation_row_is_the_newest_history_and_its_targets():
    cut = evaluation_row(history(range(1, 11)), np.array([8, 9]), 8, Limits(3, 1, 1))
    assert cut is not None and cut.positions.tolist() == [5, 6, 7, 8, 9] and cut.loss_from == 3
    assert evaluation_row(history([1, 2]), np.array([0]), 0, Limits(3, 1, 1)) is None
