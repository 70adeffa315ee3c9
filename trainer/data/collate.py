"""From rows to `ranker.batch.Batch`: tokens are gathered in slabs of several batches, whatever the number of rows.

A slab is small enough that its index and tokens stay in a core's cache between one pass and the next.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
import torch

from ranker.batch import Batch
from trainer.data.plan import Indices
from trainer.data.rows import Array, Rows, gathered, offsets_of, selected

SLAB_TOKENS: Final = 98_304


def batch_of(rows: Rows) -> Batch:
    """The rows as flat int64 tensors that share no memory with the files' buffers."""
    return next(_slab(rows, [len(rows)], offsets_of(rows.lengths)))


def batches_of(rows: Rows, places: Sequence[Indices]) -> Iterator[Batch]:
    """The batches of `places`, each the numbers of its rows; as `batch_of` would make them one by one. Neighbours are slices of
    the same memory, of about SLAB_TOKENS tokens."""
    if not places:
        return
    ordered, sizes = selected(rows, np.concatenate(places)), [len(place) for place in places]
    offsets, bounds = offsets_of(ordered.lengths), np.cumsum([0, *sizes])
    first = 0
    while first < len(sizes):
        full = int(offsets[bounds[first]]) + SLAB_TOKENS
        last = max(int(np.searchsorted(offsets[bounds], full, side="right")) - 1, first + 1)
        low, high = int(bounds[first]), int(bounds[last])
        yield from _slab(selected(ordered, slice(low, high)), sizes[first:last], offsets[low : high + 1])
        first = last


def _slab(rows: Rows, sizes: Sequence[int], offsets: Indices) -> Iterator[Batch]:
    """The rows as batches of `sizes` rows. `offsets` [B + 1] is where their tokens begin, counted from any place."""
    items_T, actions_T, times_T = gathered(rows, offsets)
    bounds, rows_of_batch = [0, *accumulate(sizes)], list(sizes)
    tokens = [after - before for before, after in pairwise(offsets[bounds].tolist())]
    columns = zip(
        _wide(items_T).split(tokens),
        _wide(actions_T).split(tokens),
        _wide(times_T).split(tokens),
        _column(rows.loss_from, np.int64).split(rows_of_batch),
        _column(rows.weight, np.float32).split(rows_of_batch),
        _column(rows.users, np.int64).split(rows_of_batch),
        strict=True,
    )
    for number, (items, actions, times, loss_from, weight, users) in enumerate(columns):
        begins = offsets[bounds[number] : bounds[number + 1] + 1]
        yield Batch(
            items_T=items,
            actions_T=actions,
            times_T=times,
            offsets_B1=torch.from_numpy(begins - begins[0]),
            loss_from_B=loss_from,
            weight_B=weight,
            users_B=users,
        )


def _wide(values: Array) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64, copy=False))


def _column(values: Array, kind: type[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values.astype(kind, copy=True))
