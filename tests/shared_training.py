"""A training whose ranks share out the table of items, and what it holds, put together from all ranks."""

from typing import Any

import torch

from nightrank.feature_store.contracts.config import overlay
from nightrank.ranker.batch import Batch
from nightrank.trainer.loop.training import Training
from nightrank.trainer.tables.catalogue import held_vectors
from nightrank.trainer.worker.phases import FIT, build_phase
from tests.training_jobs import ITEMS

PLAIN: dict[str, Any] = {
    "model": {"encoder": {"dropout": 0.0}, "head": {"item_bias": True}},
    "batch_rows": 24,
    "optimizer": {"epsilon": 1e-4},
    "fit": {"epochs": 2},
    "checkpoint": {"every_steps": 2},
}
SHARD: dict[str, Any] = {"tables": {"placement": "shard"}}
ADAMW: dict[str, Any] = {"tables": {"optimizer": "adamw"}}


def settings(*changes: dict[str, Any]) -> dict[str, Any]:
    result = PLAIN
    for change in changes:
        result = overlay(result, change)
    return result


BATCH = Batch.from_lists([[1, 2, 3], [9, 8, 7, 60], [33]])


def logits(training: Training) -> torch.Tensor:
    """[3, items] of this rank's users against all items, from whatever ranks there are."""
    world, ranker = training.communicator, training.ranker.eval()
    with torch.no_grad():
        training.table.exchange.fetch(BATCH.items_T, learns=False)
        users = ranker.user_vectors(BATCH)
        scores = torch.zeros(3, ITEMS + 1)
        scores[:, training.table.table.rows.ids()] = users @ held_vectors(ranker).T
    if world.size > 1:
        world.allreduce_sum(scores)
    training.table.table.forget()
    return scores


def moments(training: Training) -> dict[str, torch.Tensor]:
    """The table's optimizer state, whole."""
    rows = training.table.table.rows
    result = {}
    for name, value in training.table.moments.items():
        whole = torch.zeros(rows.total, *value.shape[1:]) if value.dim() else value.clone()
        if value.dim():
            whole[rows.rank :: rows.ranks] = value
            training.communicator.allreduce_sum(whole)
        result[name] = whole
    return result


def two_steps(training: Training) -> None:
    """Two steps of phase `fit`, and the checkpoint to resume from."""
    phase = build_phase(training, FIT)
    batches = phase.source.batches(0, 0)
    for number in range(2):
        report = phase.step(batches, number, 1e-2)
        training.state.advance(report.loss, 1e-2, report.rows, report.tokens)
    training.save_running()
