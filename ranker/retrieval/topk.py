"""Exact top-k over the whole catalogue.

Shapes: B users, I item ids with id 0 as padding, D width, K list length, C candidates.

A fast fp32 product picks candidates; their scores are then taken again in fp64 and rounded to fp32, so a score depends on the
user and the item alone, never on the batch, the tile or the number of threads. Where rounding of the fast product could have
hidden a better item, the whole row is scored in fp64.
"""

from typing import Final

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError

SPARE: Final = 16
"""Candidates beyond the k requested."""
EPSILON: Final = 2.0**-24

Exclusions = tuple[Tensor, Tensor]
"""(ids, offsets [B + 1]): ids never to be listed for each row. Ids outside the matrix are ignored."""


def exact_topk(
    users_BD: Tensor,
    items_ID: Tensor,
    k: int,
    excluded: Exclusions | None = None,
    eligible_I: Tensor | None = None,
    user_rows: int = 256,
    item_rows: int = 65_536,
) -> tuple[Tensor, Tensor]:
    """(ids [B, k] int64, scores [B, k] fp32): the k eligible items with the largest dot products, best first.

    Equal scores are in order of the id. Id 0 is never listed. Where fewer than k items are eligible the row ends with id 0
    and score -inf. DataContractError where a vector holds a NaN or an infinity.
    """
    _check(users_BD, items_ID, item_rows)
    blocked_I = torch.zeros(items_ID.shape[0], dtype=torch.bool, device=items_ID.device)
    blocked_I[:1] = True
    if eligible_I is not None:
        blocked_I |= ~eligible_I.to(blocked_I)
    items_ID = items_ID.detach().float()
    largest_norm = max(float(part.norm(dim=1).max()) for part in items_ID.split(item_rows))
    parts = []
    for start in range(0, users_BD.shape[0], user_rows):
        users = users_BD[start : start + user_rows].detach().float()
        masked = _coordinates(excluded, start, len(users), len(items_ID), items_ID.device)
        parts.append(_block(users, items_ID, k, masked, blocked_I, item_rows, largest_norm))
    if not parts:
        return torch.zeros(0, k, dtype=torch.int64), torch.zeros(0, k)
    return torch.cat([ids for ids, _ in parts]), torch.cat([scores for _, scores in parts])


def _check(users_BD: Tensor, items_ID: Tensor, rows: int) -> None:
    """By parts of `rows`: what is made of a whole catalogue on the way is as large as it, in every process that scores."""
    for name, values in (("user vectors", users_BD), ("item matrix", items_ID)):
        if faulty := sum(int((~torch.isfinite(part).all(dim=1)).sum()) for part in values.split(rows)):
            raise DataContractError(
                f"{name}: {faulty} of {len(values)} rows hold a NaN or an infinity", "train the model again"
            )


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


def _block(
    users_BD: Tensor,
    items_ID: Tensor,
    k: int,
    masked: tuple[Tensor, Tensor],
    blocked_I: Tensor,
    item_rows: int,
    largest_norm: float,
) -> tuple[Tensor, Tensor]:
    count = k + SPARE
    values_BC = users_BD.new_full((len(users_BD), count), float("-inf"))
    ids_BC = torch.zeros(len(users_BD), count, dtype=torch.int64, device=users_BD.device)
    for first in range(0, len(items_ID), item_rows):
        tile = slice(first, min(first + item_rows, len(items_ID)))
        scores = users_BD @ items_ID[tile].T
        _mask(scores, masked, blocked_I[tile], first)
        values, ids = scores.topk(min(count, scores.shape[1]), dim=1)
        values_BC, order = torch.cat([values_BC, values], 1).topk(count, dim=1)
        ids_BC = torch.cat([ids_BC, ids + first], 1).gather(1, order)
    exact_BC = _exact_scores(users_BD, items_ID[ids_BC]).masked_fill_(values_BC == float("-inf"), float("-inf"))
    ids_BK, scores_BK = _ordered(ids_BC, exact_BC, k)
    # The fast product is off by at most D eps |u||i| a score: below twice that under the k-th, nothing can have been missed.
    slack_B = 2 * (users_BD.shape[1] + 2) * EPSILON * users_BD.norm(dim=1) * largest_norm
    unsure_B = (values_BC[:, k - 1] > float("-inf")) & (values_BC[:, -1] >= values_BC[:, k - 1] - slack_B)
    for row in unsure_B.nonzero().flatten().tolist():
        hidden = blocked_I.clone()
        hidden[masked[1][masked[0] == row]] = True
        ids_BK[row], scores_BK[row] = _whole_row(users_BD[row], items_ID, hidden, k)
    return ids_BK, scores_BK


def _mask(scores_BI: Tensor, masked: tuple[Tensor, Tensor], blocked_I: Tensor, first: int) -> None:
    row, ids = masked
    inside = (ids >= first) & (ids < first + scores_BI.shape[1])
    scores_BI[row[inside], ids[inside] - first] = float("-inf")
    scores_BI.index_fill_(1, blocked_I.nonzero().flatten(), float("-inf"))


def _exact_scores(users_BD: Tensor, items_BCD: Tensor) -> Tensor:
    return (users_BD.double().unsqueeze(1) * items_BCD.double()).sum(2).float()


def _ordered(ids_BC: Tensor, scores_BC: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Best first, equal scores by id; what is not eligible becomes id 0."""
    ids_BC, by_id = ids_BC.sort(dim=1)
    scores_BC, by_score = scores_BC.gather(1, by_id).sort(dim=1, descending=True, stable=True)
    ids_BC = ids_BC.gather(1, by_score).masked_fill(scores_BC == float("-inf"), 0)
    return ids_BC[:, :k].contiguous(), scores_BC[:, :k].contiguous()


def _whole_row(user_D: Tensor, items_ID: Tensor, hidden_I: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """([k], [k]) of a user with at least k eligible items."""
    scores_I = _exact_scores(user_D.unsqueeze(0), items_ID.unsqueeze(0)).masked_fill_(hidden_I, float("-inf"))
    ids_I = torch.arange(len(items_ID), device=items_ID.device).unsqueeze(0)
    ids, scores = _ordered(ids_I, scores_I, k)
    return ids[0], scores[0]
