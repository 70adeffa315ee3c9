"""A click ranker in training: which rows, in which order, until when. Resumed at any step, the curve is the same."""

import time
from dataclasses import dataclass
from typing import Any, Final

from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import PartName
from nightrank.ranker.ctr.compose import CtrRanker
from nightrank.trainer.config.ctr import CtrTrainerConfig
from nightrank.trainer.ctr.fit import step_of
from nightrank.trainer.ctr.validation import CtrValidator
from nightrank.trainer.data.impressions import ImpressionSource
from nightrank.trainer.data.plan import REVISION
from nightrank.trainer.loop.fit import exhaust
from nightrank.trainer.loop.plateau import Plateau
from nightrank.trainer.loop.resumable import Resumable
from nightrank.trainer.loop.source import phase_seed
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.loop.training import check_rows
from nightrank.trainer.ranks.communicator import run_on_all_ranks

PHASE: Final = "ctr"
BEST: Final = f"best-{PHASE}"


@dataclass(kw_only=True)
class CtrTraining(Resumable):
    """A click ranker with how it is trained."""

    ranker: CtrRanker
    config: CtrTrainerConfig

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "snapshot": self.snapshot.id,
            "seed": self.job.seed,
            "world_size": self.communicator.size,
            "row_order": REVISION,
            "config": self.config.model_dump(mode="json"),
            "precision": self.job.config.precision,
        }

    def source(self, part: PartName, most_rows: int | None = None) -> ImpressionSource:
        size = self.communicator.size
        return ImpressionSource(
            snapshot=self.snapshot,
            tables=self.job.lake.root,
            part=part,
            shapes=self.ranker.shapes,
            seed=phase_seed(self.job.seed, part),
            rank=self.communicator.rank,
            world_size=size,
            batch_rows=-(-self.config.batch_rows // size),
            reader=self.job.config.reader,
            most_rows=most_rows,
        )

    def validator(self, part: PartName) -> CtrValidator:
        return CtrValidator(self.source(part, self.config.validation_rows), self.communicator, self.progress)


def fit(training: CtrTraining) -> TrainState:
    """Trains from wherever the state is until the plateau or the last epoch. The best weights are in the ranker then."""
    if training.resume(None):
        training.state.resumed_from.append(f"{PHASE} step {training.state.step}")
    source, validate = training.source("impressions_train"), training.validator("impressions_valid")
    step = step_of(
        training.ranker,
        training.config,
        phase_seed(training.job.seed, PHASE),
        training.communicator,
        training.device,
        training.optimizer,
    )
    try:
        while not is_over(training):
            train_epoch(training, source, step)
            close_epoch(training, source, validate)
            training.save_running(beside=True)
    finally:
        training.finish_writing()
    training.state.phase_done = True
    training.save_running()
    training.resume(BEST)
    return training.state


def plateau(training: CtrTraining) -> Plateau:
    """Where the rate and the patience stand: a function of the validations so far."""
    stand = Plateau(training.config.plateau, training.config.learning_rate)
    for row in training.state.curve.valid:
        stand = stand.after(row["auc"])
    return stand


def is_over(training: CtrTraining) -> bool:
    state = training.state
    return state.phase_done or state.epoch >= training.config.epochs or plateau(training).over


def train_epoch(training: CtrTraining, source: ImpressionSource, step: TrainStep[Any]) -> None:
    state, rate = training.state, plateau(training).rate
    batches = run_on_all_ranks(training.communicator, lambda: source.batches(state.epoch, state.step_in_epoch))
    training.ranker.train()
    while state.step_in_epoch < source.steps(state.epoch):
        started = time.monotonic()
        report = step(batches, state.step, rate)
        state.advance(report.loss, rate, report.rows, report.tokens)
        state.seconds += time.monotonic() - started
        training.progress.moved(PHASE, state.total_steps)
        training.save_if_due()
    run_on_all_ranks(training.communicator, lambda: exhaust(batches))


def close_epoch(training: CtrTraining, source: ImpressionSource, validate: CtrValidator) -> None:
    """Counts the epoch's rows, validates, remembers the best."""
    state = training.state
    check_rows(source.rows(state.epoch), state.epoch_rows, f"{PHASE}, epoch {state.epoch}")
    state.end_epoch(training.snapshot.rows(source.part))
    started = time.monotonic()
    figures = validate(training.ranker)
    state.seconds += time.monotonic() - started
    if state.validated(figures["auc"], figures):
        training.save_as(BEST)
    if training.communicator.rank == 0:
        values = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "n")
        log.info(f"train {PHASE}: epoch {state.epoch}, loss {state.curve.loss[-1]:.4f}, {values}")
