"""Scores as they are listed, and their order.

Shapes: B users, C candidates, I item ids with id 0 as padding, D width, K list length.

The score of a user and an item is defined without regard to how it is found: products in fp64, where those of fp32 numbers are
exact, filled up with zeros to the next power of two, the two halves added until one number is left, which is rounded once to
fp32. So it depends on the two vectors alone, never on the batch, the block, the number of threads or the device.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from nightrank.ranker.retrieval.plan import rows_holding


def exact_scores(users_BD: Tensor, items_BCD: Tensor) -> Tensor:
    """[B, C] fp32."""
    terms = users_BD.double().unsqueeze(1) * items_BCD.double()
    places = 1 << (terms.shape[2] - 1).bit_length()
    terms = pad(terms, (0, places - terms.shape[2]))
    while (half := terms.shape[2] // 2) > 0:
        terms = terms[:, :, :half] + terms[:, :, half:]
    return terms.squeeze(2).float()


def scores_of(users_BD: Tensor, items_ID: Tensor, ids_BC: Tensor, held: int) -> Tensor:
    """`exact_scores` of each user's own items, for as many users at a time as have `held` products."""
    rows = rows_holding(held, ids_BC.shape[1] * users_BD.shape[1])
    parts = zip(users_BD.split(rows), ids_BC.split(rows), strict=True)
    return torch.cat([exact_scores(users, items_ID[ids].float()) for users, ids in parts])


def ordered(ids_BC: Tensor, scores_BC: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best of C >= k, equal scores by id; what scores -inf becomes id 0."""
    ids_BC, by_id = ids_BC.sort()
    scores_BC, by_score = scores_BC.gather(1, by_id).sort(descending=True, stable=True)
    ids_BC = ids_BC.gather(1, by_score).masked_fill(scores_BC == float("-inf"), 0)
    return ids_BC[:, :k].contiguous(), scores_BC[:, :k].contiguous()


def whole_row(user_D: Tensor, items_ID: Tensor, hidden_I: Tensor, k: int, held: int) -> tuple[Tensor, Tensor]:
    """([k], [k]) of one user from the exact scores of all items; id 0 and -inf where there are no more."""
    rows = rows_holding(held, len(user_D))
    parts = [exact_scores(user_D.unsqueeze(0), items.float().unsqueeze(0)) for items in items_ID.split(rows)]
    scores_I = torch.cat(parts, 1).masked_fill_(hidden_I, float("-inf"))
    missing = (0, k)  # as many as may be
    ids_I = torch.arange(len(items_ID), device=items_ID.device).unsqueeze(0)
    ids, scores = ordered(pad(ids_I, missing), pad(scores_I, missing, value=float("-inf")), k)
    return ids[0], scores[0]
