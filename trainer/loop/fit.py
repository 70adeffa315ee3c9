"""fit: the order of things within one phase. The step owns the mathematics, the state owns the counters."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nightrank.feature_store.contracts.logs import log
from nightrank.ranker.batch import Batch
from nightrank.trainer.config.training import PhaseConfig
from nightrank.trainer.loop.schedule import learning_rate
from nightrank.trainer.loop.source import Source
from nightrank.trainer.loop.state import TrainState
from nightrank.trainer.loop.step import StepReport, TrainStep
from nightrank.trainer.loop.text import renew_texts
from nightrank.trainer.loop.training import Training, check_rows
from nightrank.trainer.loop.validation import NAMES, Validator
from nightrank.trainer.ranks.communicator import broadcast_object, run_on_all_ranks
from nightrank.trainer.ranks.fail_at import fail_at


@dataclass(frozen=True)
class Phase:
    """One stretch of training: where its batches come from, how a step is taken, and what decides that it is over."""

    name: str
    config: PhaseConfig
    source: Source
    step: TrainStep[Batch]
    validate: Validator | None = None
    prunes: Callable[[TrainState], bool] | None = None
    """Called on rank 0 after each validation: true ends the phase."""

    @property
    def steps(self) -> int:
        """Steps of all planned epochs: the length of the learning-rate curve."""
        return sum(self.source.steps(epoch) for epoch in range(self.config.epochs))


def fit(phase: Phase, training: Training) -> None:
    """Trains until the phase is over, from wherever the state is. A checkpoint then says `phase_done`."""
    log = ProgressLog(training, phase.steps)
    try:
        while not is_over(phase, training):
            train_epoch(phase, training, log)
            close_epoch(phase, training, log)
            training.save_running(beside=True)
    finally:
        training.finish_writing()
    training.state.phase_done = True
    training.save_running()


def is_over(phase: Phase, training: Training) -> bool:
    """Pruned, all epochs done, or too many validations without a better one. The numbers are the same on every rank."""
    state, patience = training.state, phase.config.patience
    if state.pruned or state.epoch >= phase.config.epochs:
        return True
    return patience is not None and state.bad_validations >= patience


def train_epoch(phase: Phase, training: Training, log: "ProgressLog") -> None:
    state, total = training.state, phase.steps
    steps = phase.source.steps(state.epoch)
    batches = run_on_all_ranks(training.communicator, lambda: phase.source.batches(state.epoch, state.step_in_epoch))
    training.ranker.train()
    while state.step_in_epoch < steps:
        started = time.monotonic()
        rate = learning_rate(phase.config, state.step, total)
        fail_at(training.communicator, state.total_steps)
        report = phase.step(batches, state.step, rate, last=state.step_in_epoch + 1 == steps)
        state.advance(report.loss, rate, report.rows, report.tokens)
        state.seconds += time.monotonic() - started
        training.progress.moved(phase.name, state.total_steps)
        log.step(report)
        training.save_if_due()
    run_on_all_ranks(training.communicator, lambda: exhaust(batches))


def close_epoch(phase: Phase, training: Training, log: "ProgressLog") -> None:
    """Counts the epoch's rows, validates, remembers the best."""
    state = training.state
    check_rows(phase.source.rows(state.epoch), state.epoch_rows, f"{phase.name}, epoch {state.epoch}")
    state.end_epoch(phase.source.pinned_rows(state.epoch))
    renew_texts(training.ranker, training.communicator, training.device)
    last = state.epoch >= phase.config.epochs
    if phase.validate is None or (state.epoch % phase.validate.config.every_epochs and not last):
        return
    started = time.monotonic()
    metrics = phase.validate(training.ranker)
    state.seconds += time.monotonic() - started
    if state.validated(metrics[NAMES[0]], metrics):
        training.save_as(f"best-{phase.name}")
    log.validation(metrics)
    if phase.prunes is not None:
        prune(phase, phase.prunes, training)


def prune(phase: Phase, prunes: Callable[[TrainState], bool], training: Training) -> None:
    """Rank 0 decides and tells the others. A phase that is over by itself is not pruned, but its last validation is reported
    too."""
    told = broadcast_object(training.communicator, lambda: prunes(training.state))
    training.state.pruned = bool(told) and not is_over(phase, training)


def exhaust(batches: Iterator[Any]) -> None:
    """The reader's own count at its end runs now; a batch too many would show in the epoch's rows."""
    for _ in batches:
        raise AssertionError("the source gave more batches than it has steps")


@dataclass
class ProgressLog:
    """One line to stderr now and then, from rank 0."""

    training: Training
    steps: int
    _reported_at: float = field(default_factory=time.monotonic)
    _tokens: int = 0

    def step(self, report: StepReport) -> None:
        self._tokens += report.tokens
        seconds = time.monotonic() - self._reported_at
        if seconds < self.training.job.config.log_seconds:
            return
        state = self.training.state
        self._say(
            f"epoch {state.epoch + 1}, step {state.step} of {self.steps}: loss {report.loss:.4f},"
            f" {self._tokens / seconds:,.0f} tokens/s"
        )
        self._reported_at, self._tokens = time.monotonic(), 0

    def validation(self, metrics: dict[str, float]) -> None:
        state = self.training.state
        best = "" if state.bad_validations else ", the best so far"
        values = ", ".join(f"{name} {metrics[name]:.4f}" for name in NAMES)
        loss = state.curve.loss[-1] if state.curve.loss else float("nan")
        self._say(f"epoch {state.epoch} done, loss {loss:.4f}, {values} on {metrics['n']:,.0f} rows{best}")

    def _say(self, text: str) -> None:
        if self.training.communicator.rank == 0:
            log.info(f"train {self.training.state.phase}: {text}")
