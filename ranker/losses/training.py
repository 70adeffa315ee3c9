"""The loss of one batch: which states are held against which items, by which loss.

Shapes: T input tokens, S targets, M negatives, I1 = items + 1, d width.
"""

import torch
from torch import Tensor

from nightrank.feature_store.contracts.plugins import LOSSES, plugin
from nightrank.ranker.batch import Batch
from nightrank.ranker.config.ranker import LossConfig
from nightrank.ranker.losses.full_softmax import full_softmax
from nightrank.ranker.losses.sampled import Scores, bpr, gbce, hardest, sampled_softmax
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.model import Ranker
from nightrank.ranker.targets import Targets


def training_loss(
    ranker: Ranker,
    batch: Batch,
    config: LossConfig,
    generator: torch.Generator,
    sampler: NegativeSampler | None = None,
) -> tuple[Tensor, Tensor]:
    """(weighted loss sum, weight sum), fp32 scalars: add up over steps and ranks, divide once.

    A batch without a target gives (0, 0) and a zero gradient for every weight. Negatives come from `generator` (on the CPU);
    dropout and hidden items from torch's default generator. `sampler` saves building q from the ranker's popularity in each
    step.
    """
    targets = ranker.encoder.targets(batch)
    if len(targets.item_S) == 0:
        return _nothing(ranker)
    with ranker.items.renewed(batch.items_T):
        return _loss(ranker, targets, config, generator, sampler)


def _loss(
    ranker: Ranker, targets: Targets, config: LossConfig, generator: torch.Generator, sampler: NegativeSampler | None
) -> tuple[Tensor, Tensor]:
    if config.name == "full_softmax":
        return _full(ranker, targets, config)
    sampler = sampler or NegativeSampler.of(config, ranker.items.popularity)
    members = _scores(ranker, targets, config, generator, sampler)
    losses_S = torch.stack([_losses(scores, config, ranker.shapes.items) for scores in members]).mean(0)
    weights_S = targets.weight_S.float()
    return (losses_S * weights_S).sum(), weights_S.sum()


def _full(ranker: Ranker, targets: Targets, config: LossConfig) -> tuple[Tensor, Tensor]:
    table_Id = ranker.item_table()
    states_Sd = ranker.user_states(targets.inputs, table_Id).index_select(0, targets.state_S)
    sides = _by_member(ranker, states_Sd, ranker.head.item(table_Id))
    losses = [
        full_softmax(states, targets.item_S, scored, targets.weight_S, config.chunk_elements, ranker.items.bias)[0]
        for states, scored in sides
    ]
    return torch.stack(losses).mean(), targets.weight_S.float().sum()


def _by_member(ranker: Ranker, *sides: Tensor) -> list[tuple[Tensor, ...]]:
    """Each member's columns of every side."""
    members = ranker.config.ensemble_size
    if members == 1:
        return [sides]
    return list(zip(*([part.contiguous() for part in side.chunk(members, dim=1)] for side in sides), strict=True))


def _losses(scores: Scores, config: LossConfig, items: int) -> Tensor:
    if config.sampling == "hard":
        scores = hardest(scores, config.negatives)
    if config.name == "sampled_softmax":
        return sampled_softmax(scores)
    if config.plugin is not None:
        found: Tensor = plugin(LOSSES, config.plugin)(scores, config.settings)
        return found
    if config.name == "bpr":
        return bpr(scores)
    return gbce(scores, items, config.gbce_t if config.name == "gbce" else 0.0)


def _scores(
    ranker: Ranker, targets: Targets, config: LossConfig, generator: torch.Generator, sampler: NegativeSampler
) -> list[Scores]:
    """Of each member."""
    if config.sampling == "in_batch":
        negatives_M, log_q_M = targets.item_S, sampler.log_q(targets.item_S)
        items = torch.cat([targets.inputs.items_T, targets.item_S])
        inputs_Td, wanted_Sd = ranker.item_inputs(items).split([targets.inputs.tokens, len(targets.item_S)])
        negative_Md = wanted_Sd
    else:
        draws = config.negatives * (config.hard_pool if config.sampling == "hard" else 1)
        negatives_M, log_q_M = sampler.draw(draws, generator)
        items = torch.cat([targets.inputs.items_T, targets.item_S, negatives_M])
        sizes = [targets.inputs.tokens, len(targets.item_S), len(negatives_M)]
        inputs_Td, wanted_Sd, negative_Md = ranker.item_inputs(items).split(sizes)
    head = ranker.head
    states_Sd = head.user(ranker.encoder(inputs_Td, targets.inputs)).index_select(0, targets.state_S)
    sides = _by_member(ranker, states_Sd, head.item(wanted_Sd), head.item(negative_Md))
    log_q_S = sampler.log_q(targets.item_S)
    return [Scores(*_logits(ranker, targets.item_S, negatives_M, *side), log_q_M, log_q_S) for side in sides]


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


def _nothing(ranker: Ranker) -> tuple[Tensor, Tensor]:
    zero = sum((parameter.float() * 0.0).sum() for parameter in ranker.parameters() if parameter.requires_grad)
    return torch.as_tensor(zero), torch.zeros((), device=ranker.items.popularity.device)
