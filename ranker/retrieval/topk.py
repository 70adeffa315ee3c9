"""Exact top-k over the whole catalogue.

Shapes: B users, I item ids with id 0 as padding, D width, K list length.

A fast product picks candidates, and `exact.py` scores those. Candidates are all items whose product is so near to the k-th that
its error (`rounding.py`) could hide a better one. A user of whom that cannot be said is done again with a more exact product,
at last from the exact scores of all items. So lists are those of brute force in the scores of `exact.py`, ties by id, whatever
product they began with.
"""

from typing import Final, Literal

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.retrieval.chunks import SPARE as SPARE
from nightrank.ranker.retrieval.chunks import Hidden, block_lists
from nightrank.ranker.retrieval.exact import whole_row
from nightrank.ranker.retrieval.tiles import SERIAL, exclusions, room_for, tile_lists, usable

Exclusions = tuple[Tensor, Tensor]
"""(ids, offsets [B + 1]): ids never to be listed for each row. Ids outside the matrix are ignored."""
Product = Literal["tiles", "bf16", "fp32"]
"""Of the compiled part in bf16, or of torch."""
USERS: Final = {"tiles": 4096, "bf16": 256, "fp32": 256}
"""Users whose candidates are held at once."""
ITEMS: Final = 65_536
"""Items of a block of torch's products, and of a pass over the matrix."""
CANDIDATES: Final = 1 << 23
"""Of all users that are held at once: 64 MiB."""
KINDS: Final = {"bf16": torch.bfloat16, "fp32": torch.float32}


def exact_topk(
    users_BD: Tensor,
    items_ID: Tensor,
    k: int,
    excluded: Exclusions | None = None,
    eligible_I: Tensor | None = None,
    user_rows: int | None = None,
    item_rows: int | None = None,
    product: Product | None = None,
) -> tuple[Tensor, Tensor]:
    """(ids [B, k] int64, scores [B, k] fp32): the k eligible items with the largest dot products, best first.

    Equal scores are in order of the id. Id 0 is never listed. Where fewer than k items are eligible the row ends with id 0
    and score -inf. DataContractError where a vector holds a NaN or an infinity. `product` is the fastest that the device has
    unless it is named; it changes no list.
    """
    _check("user vectors", users_BD)
    product = product or fastest(items_ID)
    rows = user_rows or max(1, min(USERS[product], CANDIDATES // room_for(k)))
    items_ID = items_ID.detach()
    eligible = None if eligible_I is None else eligible_I.to(device=items_ID.device, dtype=torch.bool)
    parts = []
    for start in range(0, users_BD.shape[0], rows):
        users = users_BD[start : start + rows].detach().float().contiguous()
        pairs = _coordinates(excluded, start, len(users), len(items_ID), items_ID.device)
        parts.append(_lists(users, items_ID, k, pairs, eligible, item_rows, product))
    if not parts:
        return torch.zeros(0, k, dtype=torch.int64), torch.zeros(0, k)
    return torch.cat([ids for ids, _ in parts]), torch.cat([scores for _, scores in parts])


def fastest(items_ID: Tensor) -> Product:
    if usable(items_ID):
        return "tiles"
    return "bf16" if items_ID.is_cuda else "fp32"


def _check(name: str, values: Tensor) -> None:
    """By parts: what is made of a whole catalogue on the way is as large as it, in every process that scores. A sum of numbers
    that is one says that all are."""
    rows = max(1, SERIAL // max(1, values.shape[1]))
    if all(bool(torch.isfinite(part.sum(dtype=torch.float32))) for part in values.split(rows)):
        return
    if faulty := sum(int((~torch.isfinite(part).all(dim=1)).sum()) for part in values.split(ITEMS)):
        raise DataContractError(f"{name}: {faulty} of {len(values)} rows hold a NaN or an infinity", "train the model again")


def _coordinates(excluded: Exclusions | None, start: int, rows: int, items: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(row inside the block, id) of every exclusion of the block."""
    if excluded is None:
        nothing = torch.zeros(0, dtype=torch.int64, device=device)
        return nothing, nothing
    flat, offsets = excluded
    bounds = offsets[start : start + rows + 1]
    ids = flat[int(bounds[0]) : int(bounds[-1])].to(device=device, dtype=torch.int64)
    row = torch.repeat_interleave(torch.arange(rows, device=device), (bounds[1:] - bounds[:-1]).to(device))
    inside = (ids >= 0) & (ids < items)
    return row[inside], ids[inside]


def _lists(
    users_BD: Tensor,
    items_ID: Tensor,
    k: int,
    pairs: tuple[Tensor, Tensor],
    eligible_I: Tensor | None,
    item_rows: int | None,
    product: Product,
) -> tuple[Tensor, Tensor]:
    """Lists by `product`, and those of users who are unsure by one that is more exact."""
    if product == "tiles":
        own = exclusions(*pairs, len(users_BD))
        ids_BK, scores_BK, unsure_B, faulty = tile_lists(users_BD, items_ID, k, own, eligible_I, item_rows)
    else:
        hidden = Hidden(_blocked(items_ID, eligible_I), *pairs)
        ids_BK, scores_BK, unsure_B, faulty = block_lists(users_BD, items_ID, k, hidden, item_rows or ITEMS, KINDS[product])
    if faulty:
        _check("item matrix", items_ID)
    rows = unsure_B.nonzero().flatten()
    if len(rows) and product != "fp32":
        left = _of_rows(pairs, rows, len(users_BD))
        ids_BK[rows], scores_BK[rows] = _lists(users_BD[rows], items_ID, k, left, eligible_I, item_rows, "fp32")
    elif len(rows):
        for row in rows.tolist():
            ids_BK[row], scores_BK[row] = whole_row(users_BD[row], items_ID, hidden.of(row), k)
    return ids_BK, scores_BK


def _of_rows(pairs: tuple[Tensor, Tensor], rows: Tensor, users: int) -> tuple[Tensor, Tensor]:
    """Exclusions of these rows alone, numbered from 0."""
    place = torch.full((users,), -1, device=rows.device)
    place[rows] = torch.arange(len(rows), device=rows.device)
    row = place[pairs[0]]
    return row[row >= 0], pairs[1][row >= 0]


def _blocked(items_ID: Tensor, eligible_I: Tensor | None) -> Tensor:
    if eligible_I is None:
        blocked_I = torch.zeros(len(items_ID), dtype=torch.bool, device=items_ID.device)
    else:
        blocked_I = ~eligible_I
    blocked_I[:1] = True
    return blocked_I
