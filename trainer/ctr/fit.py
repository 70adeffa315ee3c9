"""fit_ctr: epochs of steps, a validation after each, the learning rate by plateau. Shapes: N rows, A actions."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.ctr.batch import ImpressionBatch, check_impressions
from nightrank.ranker.ctr.compose import CtrRanker
from nightrank.ranker.metrics.ctr import by_action, mean_over_actions
from nightrank.trainer.config.ctr import CtrTrainerConfig
from nightrank.trainer.ctr.objective import CtrObjective, TablePenalty
from nightrank.trainer.ctr.source import MemorySource
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.plateau import Plateau
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.ranks.communicator import Communicator, broadcast_object
from nightrank.trainer.ranks.device import Device

Probabilities = NDArray[np.float32]


@dataclass(frozen=True)
class EpochReport:
    epoch: int
    """From 1."""
    loss: float
    """Mean over the epoch's steps, in training mode."""
    rate: float
    valid: dict[str, float]
    """`auc` and `log_loss`, each the mean over the actions."""
    seconds: float


@dataclass
class CtrCurve:
    epochs: list[EpochReport] = field(default_factory=list)
    best: int = 0
    """The epoch whose weights are kept."""


def fit_ctr(
    ranker: CtrRanker,
    train: ImpressionBatch,
    valid: ImpressionBatch,
    config: CtrTrainerConfig,
    seed: int,
    communicator: Communicator,
    device: Device,
    tell: Callable[[EpochReport], None] = lambda report: None,
) -> CtrCurve:
    """Trains until the plateau says so; the weights of the best validation are in the ranker afterwards.

    Every rank is given all rows and takes its share of each step. Rank 0 validates and the others receive it: over several
    ranks each has running statistics of its own, and those of rank 0 are the ones that are measured and kept.
    """
    _check(train, valid, ranker)
    source = MemorySource(train, config.batch_rows, seed, communicator.rank, communicator.size)
    step = step_of(ranker, config, seed, communicator, device)
    plateau, curve, best = Plateau(config.plateau, config.learning_rate), CtrCurve(), _copy(ranker)
    for epoch in range(config.epochs):
        started, rate = time.monotonic(), plateau.rate
        ranker.train()
        batches = source.batches(epoch)
        losses = [step(batches, epoch * source.steps(epoch) + n, rate).loss for n in range(source.steps(epoch))]
        figures = broadcast_object(communicator, lambda: evaluate(ranker, valid))
        plateau = plateau.after(figures["auc"])
        if plateau.stalls == 0:
            curve.best, best = epoch + 1, _copy(ranker)
        report = EpochReport(epoch + 1, float(np.mean(losses)), rate, figures, time.monotonic() - started)
        curve.epochs.append(report)
        tell(report)
        if plateau.over:
            break
    ranker.load_state_dict(best)
    communicator.broadcast([buffer for buffer in ranker.buffers() if buffer.is_floating_point()])
    return curve


def evaluate(ranker: CtrRanker, rows: ImpressionBatch) -> dict[str, float]:
    """`auc` and `log_loss` over the rows with a label, each the mean over the actions."""
    return mean_over_actions(evaluate_each(ranker, rows))


def evaluate_each(ranker: CtrRanker, rows: ImpressionBatch) -> dict[str, dict[str, float]]:
    """action -> `auc` and `log_loss` over the rows with a label for it."""
    return by_action(ranker.shapes.labels, probabilities(ranker, rows), rows.labels_BA.numpy())


def probabilities(ranker: CtrRanker, rows: ImpressionBatch, chunk: int = 16_384) -> Probabilities:
    """[N, A] of rows on the CPU, wherever the ranker is."""
    place = next(ranker.parameters()).device
    parts = [
        ranker.scores(rows.between(first, min(first + chunk, rows.rows)).to(place)).cpu()
        for first in range(0, rows.rows, chunk)
    ]
    scores: Probabilities = torch.cat(parts).numpy() if parts else np.zeros((0, len(ranker.shapes.labels)), np.float32)
    return scores


def step_of(
    ranker: CtrRanker,
    config: CtrTrainerConfig,
    seed: int,
    communicator: Communicator,
    device: Device,
    optimizer: AdamW | None = None,
) -> TrainStep[ImpressionBatch]:
    """`optimizer` is the one whose moments are kept elsewhere too."""
    return TrainStep(
        ranker,
        optimizer or AdamW(ranker, config.optimizer),
        communicator,
        device,
        CtrObjective(ranker, config.smoothing),
        config.optimizer,
        seed,
        TablePenalty(ranker, config.table_l2) if config.table_l2 else None,
    )


def _check(train: ImpressionBatch, valid: ImpressionBatch, ranker: CtrRanker) -> None:
    for rows in (train, valid):
        check_impressions(rows, ranker.shapes)
    if train.rows == 0:
        raise DataContractError("there are no impressions to train on", "check the training rows that build_training_set wrote")
    for place, action in enumerate(ranker.shapes.labels):
        found = set(valid.labels_BA[:, place].unique().tolist())
        if not {0.0, 1.0} <= found:
            raise DataContractError(
                f"validation rows do not hold both labels of {action}", "validate on more rows, or leave out that action"
            )


def _copy(ranker: CtrRanker) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in ranker.state_dict().items()}
