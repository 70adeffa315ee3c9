"""The loss of one batch: which positions count, which states predict them, which softmax is taken.

Shapes: T input tokens, S targets, M negatives, I1 = items + 1, d width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ranker.batch import Batch
from ranker.config import LossConfig
from ranker.losses.full_softmax import full_softmax
from ranker.losses.sampled_softmax import sampled_softmax
from ranker.losses.sampling import NegativeSampler
from ranker.model import Ranker


@dataclass(frozen=True)
class Targets:
    """Position p of a row, p in [max(1, loss_from), n), is predicted from the state of token p - 1."""

    inputs: Batch
    """The batch without each row's last token."""
    state_S: Tensor
    """Index of the predicting token in `inputs`."""
    item_S: Tensor
    weight_S: Tensor


def targets_of(batch: Batch) -> Targets:
    position_T, row_T = batch.position_T, batch.row_T
    wanted_T = position_T >= batch.loss_from_B.clamp_min(1)[row_T]
    inputs = batch.without_last()
    # A row's tokens keep their place in `inputs`, so its token p - 1 stands at the row's new offset plus p - 1.
    state_S = (inputs.offsets_B1[:-1][row_T] + position_T - 1)[wanted_T]
    return Targets(inputs, state_S, batch.items_T[wanted_T], batch.weight_B[row_T][wanted_T])


def training_loss(
    ranker: Ranker,
    batch: Batch,
    config: LossConfig,
    generator: torch.Generator,
    sampler: NegativeSampler | None = None,
) -> tuple[Tensor, Tensor]:
    """(weighted loss sum, weight sum), fp32 scalars: add up over steps and ranks, divide once.

    A batch without a target gives (0, 0) and a zero gradient for every weight. Negatives come from `generator` (on the CPU);
    dropout from torch's default generator. `sampler` saves building q from the ranker's popularity in each step.
    """
    targets = targets_of(batch)
    if len(targets.item_S) == 0:
        return _nothing(ranker)
    if config.name == "full_softmax":
        return _full(ranker, targets, config)
    return _sampled(ranker, targets, config, generator, sampler or NegativeSampler.of(config, ranker.items.popularity))


def _full(ranker: Ranker, targets: Targets, config: LossConfig) -> tuple[Tensor, Tensor]:
    table_Id = ranker.item_table()
    states_Sd = ranker.user_states(targets.inputs, table_Id).index_select(0, targets.state_S)
    scored_Id = ranker.head.item(table_Id)
    return full_softmax(states_Sd, targets.item_S, scored_Id, targets.weight_S, config.chunk_elements, ranker.items.bias)


def _sampled(
    ranker: Ranker, targets: Targets, config: LossConfig, generator: torch.Generator, sampler: NegativeSampler
) -> tuple[Tensor, Tensor]:
    negatives_M, log_q_M = sampler.draw(config.negatives, generator)
    asked = torch.cat([targets.inputs.items_T, targets.item_S, negatives_M])
    inputs_Td, wanted_Sd, negative_Md = ranker.item_inputs(asked).split(
        [targets.inputs.tokens, len(targets.item_S), len(negatives_M)]
    )
    states_Td = ranker.head.user(ranker.encoder(inputs_Td, targets.inputs))
    return sampled_softmax(
        states_Td.index_select(0, targets.state_S),
        targets.item_S,
        ranker.head.item(wanted_Sd),
        targets.weight_S,
        negatives_M,
        ranker.head.item(negative_Md),
        log_q_M,
        ranker.items.bias,
    )


def _nothing(ranker: Ranker) -> tuple[Tensor, Tensor]:
    zero = sum((parameter.float() * 0.0).sum() for parameter in ranker.parameters())
    return torch.as_tensor(zero), torch.zeros((), device=ranker.items.popularity.device)
