"""A night's soft labels: the champion answers for the replayed rows, and the night's ranker is kept near its answers."""

import copy
import math
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.losses.soft_labels import SoftLabels
from nightrank.ranker.model import Ranker
from nightrank.trainer.config.training import DistillationConfig
from nightrank.trainer.data.item_inputs import part_tables

REPLAY: Final = "replay"
COLUMNS: Final = pa.schema([schemas.EXAMPLES.field(name) for name in (c.USER, c.N, c.LOSS_FROM, c.SOURCE, c.WEIGHT)])


class Replayed(NamedTuple):
    """What a night replays, over all ranks."""

    users: Tensor
    """Their ids, ascending. A user's rows are all replayed or all of the day."""
    replayed: float
    """Labels of their rows, each counted by its weight."""
    new: float
    """The same of all other rows."""


def adaptive_weight(base: float, *, known_items: int, items: int, replayed: float, new: float) -> float:
    """lambda_t = lambda_base * sqrt(|I_{t-1}| / |I_t| * |E_{t-1}| / |D_t|) (ADER, Mi et al. 2020, "adaptive distillation").

    I_{t-1} are the items the champion knows and I_t all that are known now, E the replayed and D the new labels.
    """
    return base * math.sqrt(known_items / items * replayed / new) if items and new else base


def replayed_of(snapshot: DatasetSnapshot, root: Location) -> Replayed:
    """DataContractError where a user has rows of both kinds."""
    users: dict[bool, list[Any]] = {True: [], False: []}
    labels = {True: 0.0, False: 0.0}
    for table in part_tables(snapshot, root, "train", COLUMNS):
        is_replay = pc.equal(table[c.SOURCE], REPLAY)
        for kind, rows in ((True, table.filter(is_replay)), (False, table.filter(pc.invert(is_replay)))):
            users[kind].append(rows[c.USER].to_numpy())
            labels_B = rows[c.N].to_numpy() - np.maximum(rows[c.LOSS_FROM].to_numpy(), 1)
            labels[kind] += float(rows[c.WEIGHT].to_numpy().astype(np.float64) @ labels_B)
    found, others = (np.unique(np.concatenate([np.zeros(0, np.int32), *users[kind]])) for kind in (True, False))
    if len(both := np.intersect1d(found, others)):
        raise DataContractError(
            f"part train of snapshot {snapshot.id[:12]}: {len(both)} users have replayed and new rows, the first is {both[0]}",
            "build the training set again (stage build_training_set), or set trainer.night.distillation.weight=0",
        )
    return Replayed(torch.from_numpy(found.astype(np.int64)), labels[True], labels[False])


def soft_labels(
    champion: Ranker, known_items: int, items: int, replayed: Replayed, config: DistillationConfig
) -> SoftLabels | None:
    """None where there is nothing to distil: weight 0, or no replayed label.

    A step divides by the labels of all its rows. So the weight here is lambda times all labels over the replayed ones: over an
    epoch the mean loss of all labels is met by lambda times the mean divergence of the replayed ones, however rows fall
    into steps, ranks and micro-batches. Unlike in ADER replayed rows keep the loss of their own labels too.
    """
    if config.weight == 0:
        return None
    if replayed.replayed == 0:
        log.info("train: the night replays nothing, so there is no distillation")
        return None
    weight = config.weight
    if config.adaptive:
        weight = adaptive_weight(weight, known_items=known_items, items=items, replayed=replayed.replayed, new=replayed.new)
    everything = replayed.replayed + replayed.new
    device = champion.items.popularity.device
    return SoftLabels(
        teacher=champion,
        items=known_items,
        users=replayed.users.to(device),
        weight=weight * everything / replayed.replayed,
        temperature=config.temperature,
    )


def frozen(ranker: Ranker, weights: dict[str, Tensor]) -> Ranker:
    """A copy with these weights that answers and learns nothing; its memory comes on top."""
    result = copy.deepcopy(ranker)
    for name, value in result.named_parameters():
        value.requires_grad_(False)
        value.grad = None
        if name in weights:
            value.copy_(weights[name])
    return result.eval()
