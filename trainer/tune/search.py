"""The search: one trial after the other until there are enough. Whatever is cut off continues where it stopped."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from nightrank.feature_store.contracts.logs import log
from nightrank.trainer.config.tune import TuneConfig
from nightrank.trainer.tune import study as studies
from nightrank.trainer.tune.space import Params, Space


@dataclass(frozen=True)
class Outcome:
    """How a trial ended."""

    state: Literal["complete", "pruned", "failed"]
    value: float | None = None
    """Best validation NDCG@10; of a pruned trial, its best before."""
    reason: str | None = None
    """Why it failed."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What its ranks left: curves, epochs, seconds."""


Objective = Callable[[int, Params], Outcome]
"""Trains trial `number` with these parameters, from where an earlier attempt at the same trial stood."""
OPTUNA_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Search:
    """What is searched and how far."""

    study: optuna.Study
    space: Space
    config: TuneConfig
    seed: int
    trials: int
    first: Params | None = None
    """What the configuration says, if the space holds it: trial 0, so that the best is never worse than no search."""
    until: float | None = None
    """On the monotonic clock; no trial begins later."""

    def run(self, objective: Objective) -> bool:
        """Trials until `trials` are finished, the time is over or the space is exhausted (then true).

        A fault that `objective` raises leaves its trial unfinished: the next call continues with that one.
        """
        while len(studies.finished(self.study)) < self.trials:
            trial = studies.unfinished(self.study)
            if trial is None and self.until is not None and time.monotonic() >= self.until:
                say(f"the time limit is reached after {len(studies.finished(self.study))} trials")
                return False
            trial = trial or studies.begin(self.study, self.space, self.config, self.seed, self.first)
            if trial is None:
                say(f"everything in the space was tried after {len(studies.finished(self.study))} trials")
                return True
            self._take(trial.number, dict(trial.params), objective)
        return False

    def _take(self, number: int, params: Params, objective: Objective) -> None:
        started = time.monotonic()
        named = ", ".join(f"{key.removeprefix('trainer.')}={shown(params[key])}" for key in sorted(params))
        say(f"trial {number} ({number + 1} of {self.trials}): {named}")
        outcome = objective(number, params)
        studies.tell(self.study, number, OPTUNA_STATES[outcome.state], outcome.value, outcome.reason)
        best = studies.best_of(studies.finished(self.study))
        value = outcome.reason if outcome.value is None else f"NDCG@10 {outcome.value:.4f}"
        so_far = f"; best {best.value:.4f} of trial {best.number}" if best else ""
        say(f"trial {number} {outcome.state} in {time.monotonic() - started:.0f} s: {value}{so_far}")


def say(text: str) -> None:
    """One line for people, to stderr."""
    log.info(f"tune: {text}")


def shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
