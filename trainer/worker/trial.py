"""A trial as its ranks see it: phase `fit` of the job, its validations reported, ended early where the pruner says so.

No bundle is made, and no part of the snapshot but `train`, `valid` and the items is read.
"""

from collections.abc import Callable
from typing import Any

from nightrank.trainer.config.job import Job
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.training import Training
from nightrank.trainer.loop.validation import NAMES
from nightrank.trainer.worker.phases import fit_trial


def train_trial(training: Training) -> TrainState:
    """Trains until the phase is over or the pruner ends it, from wherever a checkpoint stands."""
    return fit_trial(training, _pruner(training.job))


def trial_result(state: TrainState, seconds: float) -> dict[str, Any]:
    """What rank 0 leaves for the search."""
    return {
        "value": state.best.value if state.best else None,
        "best_epoch": state.best.epoch if state.best else None,
        "pruned": state.pruned,
        "epochs": state.epoch,
        "steps": state.total_steps,
        "rows_read": sum(state.rows_read),
        "resumed_from": state.resumed_from,
        "seconds": round(seconds, 3),
        "curves": {phase: curve.model_dump(mode="json") for phase, curve in state.curves.items()},
    }


def _pruner(job: Job) -> Callable[[TrainState], bool]:
    """Called on rank 0 only. No other process has the study open while a trial runs: the search waits for it."""

    def prunes(state: TrainState) -> bool:
        from nightrank.trainer.tune import study as studies

        assert job.trial is not None
        opened = studies.open_study(job.lake.root / job.trial.study, job.trial.pruner)
        values = {int(row["epoch"]): row[NAMES[0]] for row in state.curve.valid}
        return studies.report(opened, job.trial.number, values)

    return prunes
