"""Exact top-k over the whole catalogue.

Shapes: B users, I item ids with id 0 as padding, D width, K list length.

A fast product picks candidates, and `exact.py` scores those. Candidates are all items whose product is so near to the k-th that
its error (`rounding.py`) could hide a better one. A user of whom that cannot be said is done again with a more exact product,
at last from the exact scores of all items. So lists are those of brute force in the scores of `exact.py`, ties by id, whatever
product they began with.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.retrieval.chunks import Hidden, Reach, block_lists, reach_of
from nightrank.ranker.retrieval.exact import whole_row
from nightrank.ranker.retrieval.plan import Plan, plan_for, rows_holding
from nightrank.ranker.retrieval.tiles import exclusions, tile_lists

Exclusions = tuple[Tensor, Tensor]
"""(ids, offsets [B + 1]): ids never to be listed for each row. Ids outside the matrix are ignored."""


def exact_topk(
    users_BD: Tensor,
    items_ID: Tensor,
    k: int,
    excluded: Exclusions | None = None,
    eligible_I: Tensor | None = None,
    plan: Plan | None = None,
) -> tuple[Tensor, Tensor]:
    """(ids [B, k] int64, scores [B, k] fp32): the k eligible items with the largest dot products, best first.

    Equal scores are in order of the id. Id 0 is never listed. Where fewer than k items are eligible the row ends with id 0
    and score -inf. DataContractError where a vector holds a NaN or an infinity. `plan_for` chooses the plan
    unless it is given; it changes no list.
    """
    plan = plan or plan_for(items_ID, k)
    _check("user vectors", users_BD, plan)
    items_ID = items_ID.detach()
    eligible = None if eligible_I is None else eligible_I.to(device=items_ID.device, dtype=torch.bool)
    reach = cache(lambda plan: reach_of(items_ID, plan))  # once for all users, and only where a product asks
    parts = []
    for start in range(0, users_BD.shape[0], plan.user_rows):
        users = users_BD[start : start + plan.user_rows].detach().float().contiguous()
        pairs = coordinates(excluded, start, len(users), items_ID)
        parts.append(_lists(users, items_ID, k, pairs, eligible, plan, reach))
    if not parts:
        return torch.zeros(0, k, dtype=torch.int64), torch.zeros(0, k)
    return torch.cat([ids for ids, _ in parts]), torch.cat([scores for _, scores in parts])


def _check(name: str, values: Tensor, plan: Plan) -> None:
    """By parts: what is made of a whole catalogue on the way is as large as it, in every process that scores."""
    parts = values.split(rows_holding(plan.checked, values.shape[1]))
    if faulty := sum(_faulty_rows(part) for part in parts):
        raise DataContractError(f"{name}: {faulty} of {len(values)} rows hold a NaN or an infinity", "train the model again")


def _faulty_rows(values: Tensor) -> int:
    """A sum of numbers that is one says that all are."""
    if torch.isfinite(values.sum(dtype=torch.float32)):
        return 0
    return int((~torch.isfinite(values).all(dim=1)).sum())


def coordinates(excluded: Exclusions | None, start: int, rows: int, items_ID: Tensor) -> tuple[Tensor, Tensor]:
    """(row inside the block, id) of every exclusion of the rows from `start` on, of ids that the catalogue has."""
    device = items_ID.device
    if excluded is None:
        nothing = torch.tensor([], dtype=torch.int64, device=device)
        return nothing, nothing
    flat, offsets = excluded
    bounds = offsets[start : start + rows + 1]
    ids = flat[int(bounds[0]) : int(bounds[-1])].to(dtype=torch.int64, device=device)
    row = torch.repeat_interleave(torch.arange(rows, device=device), bounds.diff().to(device=device))
    inside = (ids >= 0) & (ids < len(items_ID))
    return row[inside], ids[inside]


def _lists(
    users_BD: Tensor,
    items_ID: Tensor,
    k: int,
    pairs: tuple[Tensor, Tensor],
    eligible_I: Tensor | None,
    plan: Plan,
    reach: Callable[[Plan], Reach],
) -> tuple[Tensor, Tensor]:
    """Lists by the plan's product, and those of users who are unsure by one that is more exact."""
    if plan.product == "tiles":
        own = exclusions(*pairs, len(users_BD))
        ids_BK, scores_BK, unsure_B, faulty = tile_lists(users_BD, items_ID, k, own, eligible_I, plan.tile_rows)
    else:
        hidden = Hidden(blocked(items_ID, eligible_I), *pairs)
        ids_BK, scores_BK, unsure_B, faulty = block_lists(users_BD, items_ID, k, hidden, plan, reach(plan))
    if faulty:
        _check("item matrix", items_ID, plan)
    rows = unsure_B.nonzero().flatten()
    if plan.product == "fp32":
        for row in rows.tolist():
            ids_BK[row], scores_BK[row] = whole_row(users_BD[row], items_ID, hidden.of(row), k, plan.terms)
    elif len(rows):
        left = _of_rows(pairs, rows)
        ids_BK[rows], scores_BK[rows] = _lists(users_BD[rows], items_ID, k, left, eligible_I, plan.slower(), reach)
    return ids_BK, scores_BK


def _of_rows(pairs: tuple[Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Exclusions of these ascending rows alone, numbered from 0."""
    row, ids = pairs
    kept = torch.isin(row, rows)
    return torch.searchsorted(rows, row[kept]), ids[kept]


def blocked(items_ID: Tensor, eligible_I: Tensor | None) -> Tensor:
    """[I] bool: id 0, and what is not eligible."""
    nothing = torch.zeros(len(items_ID), dtype=torch.bool, device=items_ID.device)
    blocked_I = nothing if eligible_I is None else ~eligible_I
    blocked_I[:1] = True
    return blocked_I
