"""Small training jobs on lakes written by hand, run in this process."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nightrank.feature_store.contracts.config import overlay, validate
from nightrank.feature_store.contracts.process import this_process
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Parent
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.loop import fit as loop
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.step import StepReport
from nightrank.trainer.loop.training import Training
from nightrank.trainer.ranks.communicator import Communicator, SingleProcess
from nightrank.trainer.ranks.device import Device
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.worker.session import prepare
from tests.training_lake import leave_one_out, synthetic_sequences, write_snapshot

ITEMS = 60
SMALL: dict[str, Any] = {
    "launcher": "one_process",
    "precision": "fp32",
    "batch_rows": 32,
    "model": {"width": 16, "encoder": {"name": "transformer", "blocks": 1, "heads": 2, "dropout": 0.1}},
    "loss": {"name": "sampled_softmax", "negatives": 16},
    "fit": {"epochs": 3, "learning_rate": 3e-3, "warmup_steps": 4, "patience": 2},
    "refit": {"epochs": 1, "learning_rate": 1e-3, "warmup_steps": 2, "replay_fraction": 0.5},
    "night": {"epochs": 1, "learning_rate": 1e-3, "warmup_steps": 2},
    "watchdog": {"timeout_seconds": 20, "startup_seconds": 120, "beat_seconds": 0.2},
}
CPU = Device(torch.device("cpu"), bf16=False)


def small_lake(root: Path, users: int = 300, items: int = ITEMS) -> DatasetSnapshot:
    return write_snapshot(root, leave_one_out(synthetic_sequences(users, items)), items, users, rows_per_file=100)


def job_of(
    root: Path,
    snapshot: DatasetSnapshot,
    changes: dict[str, Any] | None = None,
    *,
    run_id: str = "r1",
    kind: str = "full",
    parent: Parent | None = None,
) -> Job:
    return Job(
        root=str(root),
        run_id=run_id,
        kind=kind,
        date=snapshot.date,
        seed=17,
        attempt=1,
        snapshot=str(root / "snapshots" / f"{snapshot.id}.json"),
        config=validate(TrainerConfig, overlay(SMALL, changes or {})),
        parent=parent,
        launcher=this_process(),
    )


def training_of(job: Job, communicator: Communicator | None = None) -> Training:
    torch.set_num_threads(1)
    return prepare(job, communicator or SingleProcess(), Progress(), CPU)


def parent_of(training: Training, state: TrainState) -> Parent:
    """A finished run as the champion of the next night."""
    return Parent(
        version=1,
        bundle=f"models/{state.bundles['live']}",
        checkpoint=f"checkpoints/{training.job.run_id}",
        lineage=training.lineage,
        snapshot_id=training.snapshot.id,
    )


class Stopped(Exception):
    """Stands for the process' end."""


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """The process ends after `steps` steps, with whatever checkpoints it had made."""
    advance = loop.ProgressLog.step

    def step(self: loop.ProgressLog, report: StepReport) -> None:
        if self.training.state.total_steps >= steps:
            raise Stopped
        advance(self, report)

    monkeypatch.setattr(loop.ProgressLog, "step", step)
