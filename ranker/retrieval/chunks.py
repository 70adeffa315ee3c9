"""Candidates by torch's own products, on any device.

Shapes: B users, T items of a block, I item ids with id 0 as padding, D width, K list length, C candidates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from nightrank.ranker.retrieval.exact import ordered, scores_of
from nightrank.ranker.retrieval.plan import Plan
from nightrank.ranker.retrieval.rounding import LARGEST_ERROR, bounds_of, lengths_of

STORED: Final = 2.0**-8 + 2.0**-16
"""What a product loses of itself when it is stored in bf16."""


class Reach(NamedTuple):
    """How far products with any item can be off, as `Bounds.at` asks. It is the same for every block of users."""

    norm: Tensor
    """The largest length of an item."""
    residual: Tensor
    """The largest distance of an item from its rounded one."""


@dataclass(frozen=True)
class Hidden:
    """What may not be listed: items of all users, and single items of single users."""

    blocked_I: Tensor
    row: Tensor
    id: Tensor

    def mask(self, scores_BT: Tensor, first: int) -> None:
        """Sets their scores to -inf, the scores being those of the items from `first` on."""
        inside = (self.id >= first) & (self.id < first + scores_BT.shape[1])
        scores_BT[self.row[inside], self.id[inside] - first] = float("-inf")
        blocked = self.blocked_I[first : first + scores_BT.shape[1]]
        scores_BT.index_fill_(1, blocked.nonzero().flatten(), float("-inf"))

    def of(self, row: int) -> Tensor:
        """[I] bool."""
        hidden_I = self.blocked_I.clone()
        hidden_I[self.id[self.row == row]] = True
        return hidden_I


def reach_of(items_ID: Tensor, plan: Plan) -> Reach:
    """Block by block."""
    parts = [lengths_of(items, rounded) for _, items, rounded in _blocks(items_ID, plan)]
    norm, residual = (torch.stack(part).max() for part in zip(*parts, strict=True))
    return Reach(norm, residual)


def block_lists(
    users_BD: Tensor, items_ID: Tensor, k: int, hidden: Hidden, plan: Plan, reach: Reach
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """(ids [B, k], scores [B, k], unsure [B], faulty): exact but for users that are unsure, whose candidates in the plan's
    product need not hold the k best. Faulty: an item may hold a NaN or an infinity."""
    count = plan.candidates(k)
    values_BC = users_BD.new_full((len(users_BD), count), float("-inf"))
    ids_BC = torch.zeros(len(users_BD), count, dtype=torch.int64, device=users_BD.device)
    for first, scores in _products(users_BD, items_ID, plan):
        hidden.mask(scores, first)
        values, ids = largest(scores, count, plan)
        values_BC, order = torch.cat([values_BC, values.float()], 1).topk(count)
        ids_BC = torch.cat([ids_BC, ids + first], 1).gather(1, order)
    exact_BC = scores_of(users_BD, items_ID, ids_BC, plan.terms)
    exact_BC = exact_BC.masked_fill_(values_BC == float("-inf"), float("-inf"))
    ids_BK, scores_BK = ordered(ids_BC, exact_BC, k)
    error_B = bounds_of(users_BD, plan.kind).at(*reach)
    last_B = values_BC[:, -1]
    left_B = last_B + error_B + _stored(users_BD, plan) * last_B.abs()  # the best score of what is no candidate is below it
    unsure_B = (last_B > float("-inf")) & ~(left_B < scores_BK[:, -1]) | ~(error_B < LARGEST_ERROR)
    return ids_BK, scores_BK, unsure_B, not torch.isfinite(reach.norm)


def _stored(users_BD: Tensor, plan: Plan) -> float:
    """What the products lose of themselves when they are stored."""
    return STORED if plan.kind == torch.bfloat16 and not users_BD.is_cuda else 0.0


def _blocks(items_ID: Tensor, plan: Plan) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(first id, items in fp32, items as they are in the plan's product)."""
    for first in range(0, len(items_ID), plan.item_rows):
        items = items_ID[first : first + plan.item_rows].float()
        yield first, items, items.to(dtype=plan.kind)


def _products(users_BD: Tensor, items_ID: Tensor, plan: Plan) -> Iterator[tuple[int, Tensor]]:
    """(first id, products [B, T]) block by block."""
    users = users_BD.to(dtype=plan.kind)
    for first, _, rounded in _blocks(items_ID, plan):
        if users.is_cuda and plan.kind == torch.bfloat16:  # else partial sums may be rounded to bf16 as well
            scores = torch.mm(users, rounded.T, out_dtype=torch.float32)
        else:
            scores = users @ rounded.T
        yield first, scores


def largest(scores_BT: Tensor, count: int, plan: Plan) -> tuple[Tensor, Tensor]:
    """(values, places) [B, min(count, T)] of the largest scores: chunks by their maxima first, for the best items stand in as
    many chunks at most, then the items of these chunks."""
    width = scores_BT.shape[1]
    if not plan.by_chunks(width, count):
        best = scores_BT.topk(min(count, width))
        return best.values, best.indices
    inside = torch.arange(plan.chunk, device=scores_BT.device)
    whole = width - width % plan.chunk
    rest = torch.arange(whole, width, device=scores_BT.device)
    chosen = scores_BT[:, :whole].unflatten(1, (-1, plan.chunk)).amax(2).topk(count).indices
    places = (chosen.unsqueeze(2) * plan.chunk + inside).flatten(1)
    places = torch.cat([places, rest.expand(len(places), -1)], 1)
    values, order = scores_BT.gather(1, places).topk(count)
    return values, places.gather(1, order)
