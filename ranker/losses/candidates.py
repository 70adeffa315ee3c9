"""What a sampled loss holds a target against: which negatives, and the scores of both.

Shapes: T input tokens, S targets, M negatives, d width.
"""

import torch
from torch import Tensor

from nightrank.ranker.config.ranker import LossConfig
from nightrank.ranker.losses.sampled import Scores
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.model import Ranker
from nightrank.ranker.targets import Targets


def negatives(
    targets: Targets, config: LossConfig, generator: torch.Generator, sampler: NegativeSampler
) -> tuple[Tensor, Tensor]:
    """(ids [M], log q [M]), shared by all targets; with `in_batch` the very tensor of the targets' items."""
    if config.sampling == "in_batch":
        return targets.item_S, sampler.log_q(targets.item_S)
    return sampler.draw(config.negatives * (config.hard_pool if config.sampling == "hard" else 1), generator)


def scores_of(ranker: Ranker, targets: Targets, negatives_M: Tensor, log_q_M: Tensor, sampler: NegativeSampler) -> list[Scores]:
    """Of each member of the ranker. Items that are inputs, targets and negatives are computed once."""
    tokens, wanted = targets.inputs.tokens, len(targets.item_S)
    if negatives_M is targets.item_S:
        items = torch.cat([targets.inputs.items_T, targets.item_S])
        inputs_Td, wanted_Sd = ranker.item_inputs(items).split([tokens, wanted])
        negative_Md = wanted_Sd
    else:
        items = torch.cat([targets.inputs.items_T, targets.item_S, negatives_M])
        inputs_Td, wanted_Sd, negative_Md = ranker.item_inputs(items).split([tokens, wanted, len(negatives_M)])
    head = ranker.head
    states_Sd = head.user(ranker.encoder(inputs_Td, targets.inputs)).index_select(0, targets.state_S)
    sides = by_member(ranker, states_Sd, head.item(wanted_Sd), head.item(negative_Md))
    log_q_S = sampler.log_q(targets.item_S)
    return [Scores(*_logits(ranker, targets.item_S, negatives_M, *side), log_q_M, log_q_S) for side in sides]


def by_member(ranker: Ranker, *sides: Tensor) -> list[tuple[Tensor, ...]]:
    """Each member's columns of every side."""
    members = ranker.config.ensemble_size
    if members == 1:
        return [sides]
    return list(zip(*([part.contiguous() for part in side.chunk(members, dim=1)] for side in sides), strict=True))


def _logits(
    ranker: Ranker, items_S: Tensor, negatives_M: Tensor, states_Sd: Tensor, wanted_Sd: Tensor, negative_Md: Tensor
) -> tuple[Tensor, Tensor]:
    """([S], [S, M]) with the items' bias; a negative that is the target itself has -inf."""
    positive_S, negative_SM = ranker.head.own(states_Sd, wanted_Sd), ranker.head.every(states_Sd, negative_Md)
    bias_I = ranker.items.bias
    if bias_I is not None:
        positive_S = positive_S + bias_I.index_select(0, items_S)
        negative_SM = negative_SM + bias_I.index_select(0, negatives_M)
    return positive_S, negative_SM.masked_fill(items_S.unsqueeze(1) == negatives_M, float("-inf"))
