"""The loss of one batch: which states are held against which items, by which loss.

Shapes: T input tokens, S targets, M negatives, I1 = items + 1, d width.
"""

import torch
from torch import Tensor

from ranker.batch import Batch
from ranker.config import LossConfig
from ranker.losses.full_softmax import full_softmax
from ranker.losses.sampled import Scores, bpr, gbce, hardest, sampled_softmax
from ranker.losses.sampling import NegativeSampler
from ranker.model import Ranker
from ranker.targets import Targets


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
    losses_S = _losses(_scores(ranker, targets, config, generator, sampler), config, ranker.shapes.items)
    weights_S = targets.weight_S.float()
    return (losses_S * weights_S).sum(), weights_S.sum()


def _full(ranker: Ranker, targets: Targets, config: LossConfig) -> tuple[Tensor, Tensor]:
    table_Id = ranker.item_table()
    states_Sd = ranker.user_states(targets.inputs, table_Id).index_select(0, targets.state_S)
    scored_Id = ranker.head.item(table_Id)
    return full_softmax(states_Sd, targets.item_S, scored_Id, targets.weight_S, config.chunk_elements, ranker.items.bias)


def _losses(scores: Scores, config: LossConfig, items: int) -> Tensor:
    if config.sampling == "hard":
        scores = hardest(scores, config.negatives)
    if config.name == "sampled_softmax":
        return sampled_softmax(scores)
    if config.name == "bpr":
        return bpr(scores)
    return gbce(scores, items, config.gbce_t if config.name == "gbce" else 0.0)


def _scores(
    ranker: Ranker, targets: Targets, config: LossConfig, generator: torch.Generator, sampler: NegativeSampler
) -> Scores:
    if config.sampling == "in_batch":
        negatives_M, log_q_M = targets.item_S, sampler.log_q(targets.item_S)
        asked = torch.cat([targets.inputs.items_T, targets.item_S])
        inputs_Td, wanted_Sd = ranker.item_inputs(asked).split([targets.inputs.tokens, len(targets.item_S)])
        negative_Md = wanted_Sd
    else:
        draws = config.negatives * (config.hard_pool if config.sampling == "hard" else 1)
        negatives_M, log_q_M = sampler.draw(draws, generator)
        asked = torch.cat([targets.inputs.items_T, targets.item_S, negatives_M])
        sizes = [targets.inputs.tokens, len(targets.item_S), len(negatives_M)]
        inputs_Td, wanted_Sd, negative_Md = ranker.item_inputs(asked).split(sizes)
    head, bias_I = ranker.head, ranker.items.bias
    states_Sd = head.user(ranker.encoder(inputs_Td, targets.inputs)).index_select(0, targets.state_S)
    positive_S = head.own(states_Sd, head.item(wanted_Sd))
    negative_SM = head.every(states_Sd, head.item(negative_Md))
    if bias_I is not None:
        positive_S = positive_S + bias_I.index_select(0, targets.item_S)
        negative_SM = negative_SM + bias_I.index_select(0, negatives_M)
    negative_SM = negative_SM.masked_fill(targets.item_S.unsqueeze(1) == negatives_M, float("-inf"))
    return Scores(positive_S, negative_SM, log_q_M, sampler.log_q(targets.item_S))


def _nothing(ranker: Ranker) -> tuple[Tensor, Tensor]:
    zero = sum((parameter.float() * 0.0).sum() for parameter in ranker.parameters() if parameter.requires_grad)
    return torch.as_tensor(zero), torch.zeros((), device=ranker.items.popularity.device)
