"""Laws of the ReadPlan: it partitions, it keeps ranks in step, it repeats itself, and stopping changes nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.trainer.data.plan import REVISION, ReadPlan

plans = st.builds(
    ReadPlan,
    row_groups=st.lists(st.integers(0, 60), max_size=12).map(tuple),
    seed=st.integers(0, 2**40),
    epoch=st.integers(0, 30),
    world_size=st.integers(1, 5),
    batch_rows=st.integers(1, 17),
    window_rows=st.integers(1, 90),
)


def stream(plan, rank, from_row=0):
    """(row group, row in it) of the rank's rows in stream order, as a reader would see them."""
    return [(s.group, int(row)) for s in plan.segments(rank, from_row) for row in plan.row_order(s)]


def length_of(row):
    """A length that any reader would find for this row; many ties."""
    group, place = row
    return 1 + (group * 31 + place * 7) % 9


def epoch_of(plan, rank, from_step=0):
    """The rank's batches from `from_step` on, read the way EpochReader reads."""
    windows = plan.windows(rank, from_step)
    rows = stream(plan, rank, windows[0].first_row) if windows else []
    batches, at = [], 0
    for window in windows:
        inside = rows[at : at + window.rows]
        at += window.rows
        lengths = np.array([length_of(row) for row in inside], dtype=np.int64)
        batches += [[inside[i] for i in places] for places in plan.batches(window, rank, lengths)]
    return batches[from_step - windows[0].first_step if windows else 0 :]


def ranks(plan):
    return range(plan.world_size)


@given(plans)
@settings(max_examples=150, deadline=None)
def test_every_row_is_read_exactly_once_over_all_ranks(plan):
    read = sorted(row for rank in ranks(plan) for batch in epoch_of(plan, rank) for row in batch)
    assert read == [(g, i) for g, rows in enumerate(plan.row_groups) for i in range(rows)]


@given(plans)
@settings(max_examples=150, deadline=None)
def test_ranks_take_equally_many_steps_of_even_size(plan):
    sizes = {rank: [len(batch) for batch in epoch_of(plan, rank)] for rank in ranks(plan)}
    assert all(len(of_rank) == plan.steps for of_rank in sizes.values())
    for of_rank in filter(None, sizes.values()):
        assert max(of_rank) - min(of_rank) <= 1
        assert max(of_rank) <= plan.batch_rows
    totals = [sum(of_rank) for of_rank in sizes.values()]
    assert max(totals) - min(totals) <= 1
    if plan.rows >= plan.world_size and plan.batch_rows > 1:
        assert all(size > 0 for of_rank in sizes.values() for size in of_rank)


@given(plans)
@settings(max_examples=60, deadline=None)
def test_equal_plans_are_equal_in_every_batch(plan):
    again = ReadPlan(plan.row_groups, plan.seed, plan.epoch, plan.world_size, plan.batch_rows, plan.window_rows)
    assert all(epoch_of(plan, rank) == epoch_of(again, rank) for rank in ranks(plan))


@given(plans, st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_resuming_at_a_step_gives_the_batches_that_would_have_come(plan, share):
    step = int(share * plan.steps)
    for rank in ranks(plan):
        assert epoch_of(plan, rank, step) == epoch_of(plan, rank)[step:]


@given(plans, st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_a_rank_reads_its_rows_and_no_row_group_twice(plan, from_row):
    for rank in ranks(plan):
        segments = plan.segments(rank, from_row)
        groups = [segment.group for segment in segments]
        assert len(groups) == len(set(groups))
        assert all(segment.rows == len(plan.row_order(segment)) > 0 for segment in segments)
        assert sum(segment.rows for segment in segments) == max(plan.rank_rows(rank) - from_row, 0)


@pytest.mark.parametrize("changed", [{"epoch": 1}, {"seed": 6}])
def test_another_epoch_or_seed_reads_in_another_order(changed):
    base = {"row_groups": (50,) * 8, "seed": 5, "epoch": 0, "world_size": 2, "batch_rows": 10, "window_rows": 100}
    assert epoch_of(ReadPlan(**base), 0) != epoch_of(ReadPlan(**(base | changed)), 0)


def test_rows_of_a_border_group_go_to_either_rank_in_different_epochs():
    seen = {rank: set() for rank in (0, 1)}
    for epoch in range(20):
        plan = ReadPlan((20,), 3, epoch, 2, 4)
        for rank in (0, 1):
            seen[rank] |= {row for batch in epoch_of(plan, rank) for row in batch}
    assert len(seen[0]) == len(seen[1]) == 20


def test_ranks_work_on_similar_lengths_at_the_same_step():
    """Against the same rows without windows: the spread of lengths between ranks and inside batches must shrink."""

    def gaps(window_rows):
        plan = ReadPlan((400,) * 6, 1, 0, 2, 20, window_rows)
        first, second = ([[length_of(row) for row in batch] for batch in epoch_of(plan, rank)] for rank in (0, 1))
        between = np.mean([abs(max(a) - max(b)) for a, b in zip(first, second, strict=True)])
        inside = np.mean([max(batch) - min(batch) for batch in first])
        return between, inside

    (wide_between, wide_inside), (narrow_between, narrow_inside) = gaps(1), gaps(600)
    assert narrow_inside < 0.2 * wide_inside
    assert narrow_between <= wide_between
    assert narrow_between < 0.2


def test_batches_do_not_come_in_order_of_length():
    plan = ReadPlan((4000,), 1, 0, 1, 20, 4000)
    means = [np.mean([length_of(row) for row in batch]) for batch in epoch_of(plan, 0)]
    assert means != sorted(means)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_fewer_rows_than_ranks_leaves_empty_batches_and_equal_steps():
    plan = ReadPlan((2,), 0, 0, 4, 8)
    assert plan.steps == 1
    assert sorted(len(epoch_of(plan, rank)[0]) for rank in range(4)) == [0, 0, 1, 1]


def test_a_row_group_without_rows_is_never_opened():
    for epoch in range(10):
        assert {segment.group for segment in ReadPlan((2, 0, 3), 0, epoch, 1, 4).segments(0)} == {0, 2}


def test_batch_sizes_of_a_rank_differ_by_at_most_one():
    assert ReadPlan((25,), 0, 0, 1, 10).bounds(0) == [0, 8, 16, 25]


def test_no_rows_no_steps():
    nothing = ReadPlan((), 0, 0, 2, 8)
    assert (nothing.steps, nothing.bounds(1), nothing.windows(1), nothing.segments(1)) == (0, [0], (), ())
    assert epoch_of(ReadPlan((0, 0), 0, 0, 2, 8), 1) == []


@pytest.mark.parametrize(
    ("name", "least"), [("seed", 0), ("epoch", 0), ("world_size", 1), ("batch_rows", 1), ("window_rows", 1)]
)
def test_an_impossible_plan_is_refused(name, least):
    fields = {"row_groups": (3,), "seed": 5, "epoch": 5, "world_size": 5, "batch_rows": 5, "window_rows": 5}
    with pytest.raises(ConfigError, match=f"read plan: {name} is {least - 1}, less than {least}"):
        ReadPlan(**(fields | {name: least - 1}))
    assert getattr(ReadPlan(**(fields | {name: least})), name) == least


@given(plans)
@settings(max_examples=100, deadline=None)
def test_assigned_is_the_other_way_round_of_batches(plan):
    for rank in ranks(plan):
        rows = stream(plan, rank)
        for window in plan.windows(rank):
            inside = rows[window.first_row : window.first_row + window.rows]
            lengths = np.array([length_of(row) for row in inside], dtype=np.int32)
            batches = plan.batches(window, rank, lengths)
            rows_of = plan.assigned(window, rank, lengths)
            assert [np.flatnonzero(rows_of.batch_of_place == i).tolist() for i in range(len(batches))] == [
                sorted(places.tolist()) for places in batches
            ]
            assert rows_of.rows.tolist() == [len(places) for places in batches]
            assert rows_of.tokens.tolist() == [int(lengths[places].sum()) for places in batches]


def test_a_window_has_as_many_batches_as_fit_and_at_least_one():
    plan = ReadPlan((100,), 0, 0, 1, 10, 39)
    assert [len(window.sizes) for window in plan.windows(0)] == [3, 3, 3, 1]
    assert [(window.index, window.first_step, window.first_row) for window in plan.windows(0, 5)] == [
        (1, 3, 30),
        (2, 6, 60),
        (3, 9, 90),
    ]
    assert [window.first_step for window in ReadPlan((25,), 0, 0, 1, 10, 9).windows(0)] == [0, 1, 2]
    assert ReadPlan((100,), 0, 0, 1, 10).window_rows == 32_768


def test_orders_do_not_change_but_with_the_revision():
    """What checkpoints rely on: if this fails on purpose, count the revision up."""
    plan = ReadPlan(row_groups=(12,), seed=1, epoch=0, world_size=1, batch_rows=4)
    lengths = np.array([3, 3, 3, 2, 2, 2, 5, 5, 5, 3, 2, 5])
    order = plan.row_order(plan.segments(0)[0]).tolist()
    batches = [places.tolist() for places in plan.batches(plan.windows(0)[0], 0, lengths)]
    many = ReadPlan(row_groups=(3,) * 9, seed=1, epoch=2, world_size=2, batch_rows=4)
    single = ReadPlan(row_groups=(8,), seed=1, epoch=0, world_size=1, batch_rows=1)
    assert many.order.tolist() == [1, 0, 2, 8, 3, 7, 6, 5, 4]
    assert [int(places[0]) for places in single.batches(single.windows(0)[0], 0, np.arange(8))] == [3, 0, 2, 5, 4, 6, 7, 1]
    assert (REVISION, order) == (2, [7, 1, 2, 5, 11, 10, 8, 0, 4, 9, 3, 6])
    assert batches == [[4, 10, 3, 5], [8, 6, 11, 7], [1, 9, 2, 0]]
