"""From rows to `ranker.batch.Batch`: tokens are gathered in slabs of several batches, whatever the number of rows.

A slab is small enough that its tokens stay in a core's cache until they are used.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
import torch

from ranker.batch import Batch
from trainer.data.compiled import gather_rows
from trainer.data.plan import Indices
from trainer.data.rows import PLACES, Chosen, offsets_of

SLAB_TOKENS: Final = 98_304


def batch_of(rows: Chosen) -> Batch:
    """The rows as flat int64 tensors that share no memory with the files' buffers."""
    return next(_slab(rows, _places(rows), [len(rows)], offsets_of(rows.lengths)))


def batches_of(rows: Chosen, places: Sequence[Indices]) -> Iterator[Batch]:
    """The batches of `places`, each the numbers of its rows; as `batch_of` would make them one by one. Neighbours are slices of
    the same memory, of about SLAB_TOKENS tokens."""
    if not places:
        return
    ordered, sizes, parts = rows.take(np.concatenate(places)), [len(place) for place in places], _places(rows)
    offsets, bounds = offsets_of(ordered.lengths), np.cumsum([0, *sizes])
    first = 0
    while first < len(sizes):
        full = int(offsets[bounds[first]]) + SLAB_TOKENS
        last = max(int(np.searchsorted(offsets[bounds], full, side="right")) - 1, first + 1)
        low, high = int(bounds[first]), int(bounds[last])
        yield from _slab(ordered.take(slice(low, high)), parts, sizes[first:last], offsets[low : high + 1])
        first = last


def _places(rows: Chosen) -> Indices:
    """[P, PLACES] `Rows.places` of every part."""
    return np.concatenate([part.places for part in rows.parts]) if rows.parts else np.zeros((0, PLACES), np.int64)


def _slab(rows: Chosen, parts: Indices, sizes: Sequence[int], offsets: Indices) -> Iterator[Batch]:
    """The rows as batches of `sizes` rows. `offsets` [B + 1] is where their tokens begin, counted from any place."""
    tokens = int(offsets[-1] - offsets[0])
    flat = list(np.empty((3, tokens), np.int64))
    columns = [np.empty(len(rows), kind) for kind in (np.int64, np.int64, np.float32)]
    gather_rows(parts, rows.index, *flat, *columns)
    bounds = [0, *accumulate(sizes)]
    tokens_of_batch = [after - before for before, after in pairwise(offsets[bounds].tolist())]
    split = zip(
        *(torch.from_numpy(values).split(tokens_of_batch) for values in flat),
        *(torch.from_numpy(values).split(list(sizes)) for values in columns),
        strict=True,
    )
    for number, (items, actions, times, loss_from, users, weight) in enumerate(split):
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
