"""The loss of one batch: which states are held against which items, by which loss.

Shapes: T input tokens, S targets, M negatives, I1 = items + 1, d width.
"""

import torch
from torch import Tensor

from nightrank.feature_store.contracts.plugins import LOSSES, plugin
from nightrank.ranker.batch import Batch
from nightrank.ranker.config.ranker import LossConfig
from nightrank.ranker.losses.candidates import by_member, negatives, scores_of
from nightrank.ranker.losses.full_softmax import full_softmax
from nightrank.ranker.losses.sampled import Scores, bpr, gbce, hardest, sampled_softmax
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.losses.sharded_softmax import World, sharded_softmax
from nightrank.ranker.losses.soft_labels import SoftLabels
from nightrank.ranker.model import Ranker
from nightrank.ranker.targets import Targets


def training_loss(
    ranker: Ranker,
    batch: Batch,
    config: LossConfig,
    generator: torch.Generator,
    sampler: NegativeSampler | None = None,
    soft: SoftLabels | None = None,
    world: World | None = None,
) -> tuple[Tensor, Tensor]:
    """(weighted loss sum, weight sum), fp32 scalars: add up over steps and ranks, divide once. `soft` adds to the first alone.

    A batch without a target gives (0, 0) and a zero gradient for every weight. Negatives come from `generator` (on the CPU);
    dropout and hidden items from torch's default generator. `sampler` saves building q from the ranker's popularity in each
    step. With a full softmax over a table that ranks share out, all ranks of `world` call this together.
    """
    targets = ranker.encoder.targets(batch)
    if world is not None and meets(ranker, config):
        with ranker.items.renewed(batch.items_T):
            return _shared(ranker, targets, config, world)
    if len(targets.item_S) == 0:
        return _nothing(ranker)
    with ranker.items.renewed(batch.items_T):
        return _loss(ranker, targets, config, generator, sampler, soft)


def _loss(
    ranker: Ranker,
    targets: Targets,
    config: LossConfig,
    generator: torch.Generator,
    sampler: NegativeSampler | None,
    soft: SoftLabels | None,
) -> tuple[Tensor, Tensor]:
    if config.name == "full_softmax":
        return _full(ranker, targets, config, soft)
    sampler = sampler or NegativeSampler.of(config, ranker.items.popularity)
    drawn = negatives(targets, config, generator, sampler)
    members = scores_of(ranker, targets, *drawn, sampler)
    losses_S = torch.stack([_losses(scores, config, ranker.shapes.items) for scores in members]).mean(0)
    weights_S = targets.weight_S.float()
    total = (losses_S * weights_S).sum()
    more = None if soft is None else soft.of_sample(members, targets, *drawn, sampler)
    return total if more is None else total + more, weights_S.sum()


def _full(ranker: Ranker, targets: Targets, config: LossConfig, soft: SoftLabels | None) -> tuple[Tensor, Tensor]:
    table_Id = ranker.item_table()
    states_Sd = ranker.user_states(targets.inputs, table_Id).index_select(0, targets.state_S)
    sides = by_member(ranker, states_Sd, ranker.head.item(table_Id))
    losses = [
        full_softmax(states, targets.item_S, scored, targets.weight_S, config.chunk_elements, ranker.items.bias)[0]
        for states, scored in sides
    ]
    total = torch.stack(losses).mean()
    more = None if soft is None else soft.of_catalogue(ranker, targets, sides, config)
    return total if more is None else total + more, targets.weight_S.float().sum()


def meets(ranker: Ranker, config: LossConfig) -> bool:
    """Whether ranks work on one loss together: each has the scores of its own items."""
    table = ranker.row_table
    return config.name == "full_softmax" and table is not None and table.rows.ranks > 1


def _shared(ranker: Ranker, targets: Targets, config: LossConfig, world: World) -> tuple[Tensor, Tensor]:
    """The full softmax of this rank's targets; a rank without any helps with those of the others."""
    table = ranker.row_table
    assert table is not None
    columns_Ld = ranker.held_items(table)
    if len(targets.item_S):
        states_Sd = ranker.user_states(targets.inputs).index_select(0, targets.state_S)
    else:
        states_Sd = columns_Ld.new_zeros(0, columns_Ld.shape[1])
    bias_L = None if ranker.items.bias is None else ranker.items.bias.index_select(0, table.rows.ids(columns_Ld.device))
    weights_S = targets.weight_S.float()
    losses = [
        sharded_softmax(states, targets.item_S, weights_S, scored, bias_L, table.rows, world, config.chunk_elements)
        for states, scored in by_member(ranker, states_Sd, ranker.head.item(columns_Ld))
    ]
    return torch.stack(losses).mean(), weights_S.sum()


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


def _nothing(ranker: Ranker) -> tuple[Tensor, Tensor]:
    zero = sum((parameter.float() * 0.0).sum() for parameter in ranker.parameters() if parameter.requires_grad)
    return torch.as_tensor(zero), torch.zeros((), device=ranker.items.popularity.device)
