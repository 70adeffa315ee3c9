"""Rows dealt out to batches while row groups pass: each once, in its own batch, whatever the sizes of groups and windows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from nightrank.trainer.data.arrow_rows import rows_of
from nightrank.trainer.data.compiled import assigned, scatter_rows
from nightrank.trainer.data.filling import BatchBuffer, Passing, filled
from nightrank.trainer.data.plan import ReadPlan
from tests.snapshots import examples_table, random_examples


def examples_of(count):
    return [
        replace(
            row, actions=[item % 5 + 1 for item in row.items], times=[item << 40 for item in row.items], weight=row.user / 4
        )
        for row in random_examples(count, 300)
    ]


def passing(examples, plan):
    """The row groups in the plan's order."""
    starts = np.concatenate([[0], np.cumsum(plan.row_groups)])
    for segment in plan.segments(0):
        rows = rows_of(examples_table(examples[starts[segment.group] : starts[segment.group + 1]], "train"), "x")
        yield Passing(rows, plan.row_order(segment))


def batches_of(plan, examples):
    windows = filled(plan, 0, plan.windows(0), passing(examples, plan), ValueError)
    return [batch for _, buffer in windows for batch in buffer.batches()]


def rows_in(batch):
    """Everything that a batch says of each of its rows."""
    bounds = batch.offsets_B1.tolist()
    facts = zip(batch.users_B.tolist(), batch.loss_from_B.tolist(), batch.weight_B.tolist(), pairwise(bounds), strict=True)
    tokens = [values.tolist() for values in (batch.items_T, batch.actions_T, batch.times_T)]
    return [(user, loss, weight, *(flat[a:b] for flat in tokens)) for user, loss, weight, (a, b) in facts]


@pytest.mark.parametrize(
    ("groups", "window"), [((40, 1, 60, 3, 96), 64), ((200,), 32), ((7,) * 28 + (4,), 50), ((90, 110), 1000)]
)
def test_every_row_stands_once_in_its_batch_with_its_own_values(groups, window):
    examples = examples_of(200)
    plan = ReadPlan(groups, seed=3, epoch=1, world_size=1, batch_rows=16, window_rows=window)
    batches = batches_of(plan, examples)
    assert [batch.rows for batch in batches] != [] and len(batches) == plan.steps
    wanted = {
        row.user: (row.user, row.loss_from, row.weight, list(row.items), list(row.actions), list(row.times)) for row in examples
    }
    found = [row for batch in batches for row in rows_in(batch)]
    assert sorted(user for user, *_ in found) == sorted(wanted)
    assert all(wanted[row[0]] == row for row in found)


def test_batches_hold_the_rows_that_the_plan_gives_them():
    examples = examples_of(200)
    plan = ReadPlan((40, 100, 60), seed=5, epoch=0, world_size=1, batch_rows=16, window_rows=64)
    starts = np.concatenate([[0], np.cumsum(plan.row_groups)])
    stream = [examples[starts[s.group] + row] for s in plan.segments(0) for row in plan.row_order(s)]
    at, wanted = 0, []
    for window in plan.windows(0):
        inside = stream[at : at + window.rows]
        at += window.rows
        lengths = np.array([len(row.items) for row in inside])
        wanted += [sorted(inside[place].user for place in places) for places in plan.batches(window, 0, lengths)]
    assert [sorted(batch.users_B.tolist()) for batch in batches_of(plan, examples)] == wanted


def test_integers_keep_the_width_of_the_file_until_they_are_moved():
    examples = examples_of(20)
    plan = ReadPlan((20,), seed=5, epoch=0, world_size=1, batch_rows=20)
    [batch] = batches_of(plan, examples)
    assert (batch.items_T.dtype, batch.actions_T.dtype, batch.times_T.dtype) == (torch.int32, torch.int8, torch.int64)
    moved = batch.to("cpu")
    assert (moved.items_T.dtype, moved.actions_T.dtype, moved.weight_B.dtype) == (torch.int64, torch.int64, torch.float32)
    assert rows_in(moved) == rows_in(batch) and moved.time_to_next_event_B is None


def test_row_groups_and_windows_that_do_not_end_together_are_an_error():
    examples = examples_of(60)
    plan = ReadPlan((20, 20, 20), seed=5, epoch=0, world_size=1, batch_rows=8, window_rows=16)
    groups = list(passing(examples, plan))
    with pytest.raises(ValueError, match="the row groups ended before the last window"):
        list(filled(plan, 0, plan.windows(0), iter(groups[:2]), ValueError))
    groups = list(passing(examples, plan))
    with pytest.raises(ValueError, match=f"{plan.windows(0)[-1].rows} rows were left over"):
        list(filled(plan, 0, plan.windows(0)[:-1], iter(groups), ValueError))


def test_nothing_is_written_outside_a_batch():
    rows = rows_of(examples_table(examples_of(3), "train"), "x")
    lengths = rows.lengths.astype(np.int64)
    for sizes, tokens, batches in (
        ([2], [int(lengths.sum())], [0, 0, 0]),
        ([3], [int(lengths.sum()) - 1], [0, 0, 0]),
        ([3], [int(lengths.sum())], [0, 1, 0]),
    ):
        buffer = BatchBuffer(np.array(sizes), np.array(tokens))
        with pytest.raises(IndexError, match=r"row \d does not fit its batch"):
            scatter_rows(rows.place, np.array(batches, np.int32), buffer.cursors)
    with pytest.raises(ValueError, match="a batch for each row"):
        scatter_rows(rows.place, np.zeros(2, np.int32), buffer.cursors)
    heads = rows.heads.copy()
    heads["offset"][-1] += 1
    wide = BatchBuffer(np.array([3]), np.array([int(lengths.sum()) + 1]))
    with pytest.raises(IndexError):
        scatter_rows(replace(rows, heads=heads).place, np.zeros(3, np.int32), wide.cursors)


def test_sizes_that_do_not_take_every_place_are_refused():
    lengths, out = np.array([3, 1, 2], np.int32), np.empty(3, np.int32)
    for sizes in ([1, 1], [2, 2], [4, -1]):
        with pytest.raises(ValueError, match="do not take every place"):
            assigned(out, np.zeros(2, np.int64), lengths, np.array(sizes), np.array([0, 1]), 1)
    with pytest.raises(ValueError, match="different sizes"):
        assigned(out, np.zeros(3, np.int64), lengths, np.array([1, 2]), np.array([0, 1]), 1)
    tokens = np.zeros(2, np.int64)
    assigned(out, tokens, lengths, np.array([1, 2]), np.array([1, 0]), 1)
    assert (out.tolist(), tokens.tolist()) == ([0, 1, 0], [5, 1])
