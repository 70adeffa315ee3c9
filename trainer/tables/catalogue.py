"""Lists and matrices of a catalogue of which each rank holds some items: a few items at a time are put together on all ranks.

Shapes: B users, K list length, c items of a chunk, width columns of the head's catalogue.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from nightrank.ranker.model import Ranker
from nightrank.ranker.retrieval.exact import ordered
from nightrank.ranker.retrieval.listing import best_items
from nightrank.ranker.tables.rows import Rows
from nightrank.trainer.ranks.communicator import Communicator

CHUNK_BYTES: Final = 64 << 20
"""Of the items' vectors that every rank holds at once."""
Ragged = tuple[Tensor, Tensor]


class Query(NamedTuple):
    """Users to make lists for, on this rank."""

    users_Bd: Tensor
    excluded: Ragged


def lists(ranker: Ranker, queries: Sequence[Query], k: int, communicator: Communicator) -> list[Tensor]:
    """Ids [B, K] of each query's best items over the whole catalogue, as `best_items` gives them. All ranks together, each with
    its own queries, perhaps none; the ranker is in evaluation mode."""
    best = [(torch.zeros(len(q.users_Bd), 0, dtype=torch.int64), torch.zeros(len(q.users_Bd), 0)) for q in queries]
    for first, chunk in chunks(ranker, communicator):
        for number, query in enumerate(queries):
            ids, scores = best_items(ranker.head, query.users_Bd, chunk, k, _within(query.excluded, first, len(chunk) - 1))
            ids = torch.where(ids > 0, ids + first - 1, 0)
            known = best[number]
            best[number] = ordered(torch.cat([known[0], ids], 1), torch.cat([known[1], scores], 1), k)
    return [ids for ids, _ in best]


def chunks(ranker: Ranker, communicator: Communicator) -> Iterator[tuple[int, Tensor]]:
    """(first id, [1 + c, width]): the catalogue's vectors from that id on, after a row of padding; the same on all ranks."""
    rows = held_rows(ranker)
    vectors_Lw = held_vectors(ranker)
    items = max(1, CHUNK_BYTES // (4 * vectors_Lw.shape[1]))
    for first in range(1, rows.total, items):
        last = min(first + items, rows.total)
        start, stop = rows.between(first, last)
        chunk = vectors_Lw.new_zeros(1 + last - first, vectors_Lw.shape[1])
        chunk[1 + rows.rank + start * rows.ranks - first :: rows.ranks] = vectors_Lw[start:stop]
        communicator.allreduce_sum(chunk)
        yield first, chunk


def held_vectors(ranker: Ranker) -> Tensor:
    """[L, width] fp32 of the items held here, as they are scored; the ranker is in evaluation mode."""
    bias = ranker.items.bias
    bias_L = None if bias is None else bias.index_select(0, held_rows(ranker).ids(bias.device))
    result: Tensor = ranker.head.catalogue(held_inputs(ranker), bias_L).detach()
    return result


def held_inputs(ranker: Ranker) -> Tensor:
    """[L, d] fp32 of the same items, as the encoder reads them."""
    assert ranker.row_table is not None
    with torch.no_grad():
        return ranker.held_items(ranker.row_table).float()


def held_rows(ranker: Ranker) -> Rows:
    assert ranker.row_table is not None
    return ranker.row_table.rows


def _within(excluded: Ragged, first: int, items: int) -> Ragged:
    """Those among the chunk's items, numbered as it numbers them."""
    flat, offsets = excluded
    inside = (flat >= first) & (flat < first + items)
    ends = torch.cat([torch.zeros(1, dtype=torch.int64), inside.cumsum(0)])[offsets]
    return flat[inside] - first + 1, ends
