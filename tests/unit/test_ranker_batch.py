"""Batch: cuts keep rows, offsets and order."""

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nightrank.ranker.batch import Batch
from nightrank.ranker.targets import next_items

rows_of_items = st.lists(st.lists(st.integers(1, 50), max_size=7), max_size=6)


def as_lists(items, offsets):
    return [items[start:end].tolist() for start, end in pairwise(offsets)]


@settings(deadline=None)
@given(rows_of_items, st.integers(0, 8))
def test_cuts_equal_slices_of_lists(rows, at):
    batch = Batch.from_lists(rows, loss_from=[at] * len(rows))
    history, newest = batch.cut_at(), batch.newest(3)
    assert as_lists(history.items_T, history.offsets_B1) == [row[:at] for row in rows]
    assert as_lists(*batch.targets()) == [row[at:] for row in rows]
    assert as_lists(newest.items_T, newest.offsets_B1) == [row[-3:] for row in rows]
    assert newest.loss_from_B.tolist() == [max(0, at - max(0, len(row) - 3)) for row in rows]
    assert history.rows == len(rows)


@settings(deadline=None)
@given(rows_of_items, st.integers(0, 8))
def test_every_position_from_loss_from_is_asked_of_the_state_before_it(rows, loss_from):
    batch = Batch.from_lists(rows, loss_from=[loss_from] * len(rows), weights=[float(row) for row in range(len(rows))])
    targets = next_items(batch)
    got = [
        (int(targets.inputs.row_T[state]), int(targets.inputs.position_T[state]), int(item), float(weight))
        for state, item, weight in zip(targets.state_S, targets.item_S, targets.weight_S, strict=True)
    ]
    wanted = [(r, p - 1, row[p], float(r)) for r, row in enumerate(rows) for p in range(max(1, loss_from), len(row))]
    assert got == wanted


@settings(deadline=None)
@given(rows_of_items, st.integers(0, 3))
def test_first_items_are_asked_of_the_state_before_any_where_the_loss_begins_with_them(rows, loss_from):
    batch = Batch.from_lists(rows, loss_from=[loss_from] * len(rows))
    plain, targets = next_items(batch), next_items(batch, first=True)
    of_nobody_S = targets.state_S == targets.inputs.tokens
    assert targets.item_S[of_nobody_S].tolist() == [row[0] for row in rows if row and loss_from <= 1]
    assert torch.equal(targets.item_S[~of_nobody_S], plain.item_S) and torch.equal(targets.state_S[~of_nobody_S], plain.state_S)


def test_a_batch_of_no_rows():
    batch = Batch.from_lists([])
    assert (batch.rows, batch.tokens, batch.offsets_B1.tolist()) == (0, 0, [0])
    assert batch.cut_at().rows == batch.without_last().rows == batch.newest(2).rows == 0


def test_columns_follow_their_tokens():
    batch = Batch.from_lists([[1, 2, 3], [4]], actions=[[5, 6, 7], [1]], times=[[10, 20, 30], [40]], users=[8, 9])
    kept = batch.newest(2).to("cpu")
    assert (kept.actions_T.tolist(), kept.times_T.tolist(), kept.users_B.tolist()) == ([6, 7, 1], [20, 30, 40], [8, 9])
    assert torch.equal(kept.position_T, torch.tensor([0, 1, 0]))
