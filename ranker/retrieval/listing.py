"""Lists from queries and a catalogue, whatever the head.

Shapes: B users, I1 = items + 1, K list length.
"""

import torch
from torch import Tensor

from nightrank.ranker.heads.dot import DotHead
from nightrank.ranker.heads.pairs import PairHead
from nightrank.ranker.retrieval.chunks import Hidden
from nightrank.ranker.retrieval.plan import SPARE
from nightrank.ranker.retrieval.topk import Exclusions, blocked, coordinates, exact_topk


def best_items(
    head: DotHead | PairHead,
    queries: Tensor,
    catalogue: Tensor,
    k: int,
    excluded: Exclusions | None = None,
    eligible_I: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(ids [B, k] int64, scores [B, k] fp32): the k eligible items of the largest scores, best first, ties by id; id 0 and
    score -inf where there are no more. `queries` and `catalogue` are what the head's methods of those names gave."""
    if isinstance(head, DotHead):
        return exact_topk(queries, catalogue, k, excluded, eligible_I)
    with torch.no_grad():
        scores_BI = head.scores(queries, catalogue)
    pairs = coordinates(excluded, 0, len(queries), catalogue)
    eligible = None if eligible_I is None else eligible_I.to(catalogue.device)
    Hidden(blocked(catalogue, eligible), *pairs).mask(scores_BI, 0)
    return _first(scores_BI, k)


def scores_of(head: DotHead | PairHead, queries: Tensor, catalogue: Tensor, ids_BK: Tensor) -> Tensor:
    """[B, K] fp32: the score of each row's own items."""
    items_BKh, users_B1h = catalogue[ids_BK], queries[:, None, :]
    with torch.no_grad():
        if isinstance(head, DotHead):
            return (users_B1h.float() * items_BKh.float()).sum(2)
        return head.pair(users_B1h, items_BKh).float()


def _first(scores_BI: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """topk says nothing about ties: it takes some more, and a row whose ties may continue beyond those is sorted whole."""
    width, taken = min(k, scores_BI.shape[1]), min(k + SPARE, scores_BI.shape[1])
    values, ids = scores_BI.topk(taken, dim=1)
    ids, by_id = ids.sort(dim=1)
    values, by_value = values.gather(1, by_id).sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, by_value)
    if width < taken < scores_BI.shape[1]:
        tied_B = (values[:, width - 1] == values[:, -1]).nonzero().flatten()
        whole = scores_BI[tied_B].sort(dim=1, descending=True, stable=True)
        values[tied_B], ids[tied_B] = whole.values[:, :taken], whole.indices[:, :taken]
    ids_BK = torch.zeros(len(values), k, dtype=torch.int64)
    values_BK = torch.full((len(values), k), float("-inf"))
    values_BK[:, :width] = values[:, :width].cpu()
    ids_BK[:, :width] = ids[:, :width].cpu()
    return ids_BK.masked_fill(values_BK == float("-inf"), 0), values_BK
