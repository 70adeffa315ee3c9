"""The study: Optuna's record of trials in `LAKE/tune/<study>/study.journal`, and what is tried next. The only door to optuna,
with journal.py and pictures.py.

The next trial is a function of the finished ones, the space, the seed and its own number: a search that was killed continues
with the same suggestions as one that was not.
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from nightrank.feature_store.contracts.files import canonical_json
from nightrank.feature_store.contracts.storage import Location, locate
from nightrank.trainer.config.tune import PrunerConfig, TuneConfig
from nightrank.trainer.tune.journal import journal_at
from nightrank.trainer.tune.space import Choices, Params, Range, Space

JOURNAL: Final = "study.journal"
REDRAWS: Final = 10
"""Draws by the estimator of what was tried before, after which chance decides."""
BLIND_DRAWS: Final = 1000
"""Draws by chance of what was tried before, after which the space counts as exhausted."""
FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
REASON: Final = "reason"
"""Attribute of a failed trial."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(folder: Path | Location, pruner: PrunerConfig) -> optuna.Study:
    """The study of the folder, new or as it was left. One process at a time may have it open for writing."""
    place = locate(folder)
    place.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(journal_at(place / JOURNAL))
    # No trial is drawn through this sampler: `suggested` draws.
    how: dict[str, Any] = {"storage": storage, "sampler": RandomSampler(seed=0), "pruner": pruner_of(pruner)}
    if folder.name in optuna.get_all_study_names(storage):
        return optuna.load_study(study_name=folder.name, **how)
    return optuna.create_study(study_name=folder.name, direction="maximize", **how)


def mend(folder: Path | Location) -> None:
    """A last line that a kill or a full disk cut off is gone; Optuna would append to it and read neither. To be called where
    no other process has the study. A bucket's object is always whole."""
    if not locate(folder).is_local:
        return
    path = Path(folder) / JOURNAL
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with open(path, "r+b") as handle:
            handle.truncate(data.rfind(b"\n") + 1)
    for lock in Path(folder).glob(f"{JOURNAL}.lock*"):
        lock.unlink()


def pruner_of(config: PrunerConfig) -> BasePruner:
    if config.name == "median":
        return MedianPruner(n_startup_trials=config.startup_trials, n_warmup_steps=config.warmup_epochs + 1)
    if config.name == "halving":
        return SuccessiveHalvingPruner(min_resource=config.first_rung, reduction_factor=config.reduction)
    return NopPruner()


def finished(study: optuna.Study) -> list[FrozenTrial]:
    return list(study.get_trials(deepcopy=False, states=FINISHED))


def unfinished(study: optuna.Study) -> FrozenTrial | None:
    """The trial that was cut off, if one was."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return running[0] if running else None


def begin(study: optuna.Study, space: Space, config: TuneConfig, seed: int, first: Params | None) -> FrozenTrial | None:
    """The next trial, recorded with all of its parameters in one line. None where nothing new is left to try.

    `first`: parameters of trial 0, where it is not to be drawn.
    """
    earlier = finished(study)
    params = first if not earlier and first is not None else suggested(earlier, space, config.startup_trials, seed)
    if params is None:
        return None
    trial = create_trial(state=TrialState.RUNNING, params=params, distributions=dict(distributions_of(space)))
    study.add_trial(trial)
    return unfinished(study)


def suggested(earlier: Sequence[FrozenTrial], space: Space, startup_trials: int, seed: int) -> Params | None:
    """Parameters that no earlier trial had; None if none were found. The same arguments give the same parameters."""
    tried = {canonical_json(trial.params) for trial in earlier}
    drawn = ({key: _tidy(value) for key, value in params.items()} for params in _draws(earlier, space, startup_trials, seed))
    return next((params for params in drawn if canonical_json(params) not in tried), None)


def _draws(earlier: Sequence[FrozenTrial], space: Space, startup_trials: int, seed: int) -> Iterator[Params]:
    """By the estimator; where a small space has it come back to the same places, at random."""
    distributions = dict(distributions_of(space))
    for redraw in range(REDRAWS):
        sampler = TPESampler(n_startup_trials=startup_trials, seed=_seed(seed, len(earlier), redraw))
        scratch = optuna.create_study(direction="maximize", sampler=sampler)
        scratch.add_trials(earlier)
        yield scratch.ask(distributions).params
    blind = optuna.create_study(sampler=RandomSampler(seed=_seed(seed, len(earlier), REDRAWS)))
    for _ in range(BLIND_DRAWS):
        yield blind.ask(distributions).params


def distributions_of(space: Space) -> Mapping[str, BaseDistribution]:
    return {key: _distribution(space[key]) for key in sorted(space)}


def report(study: optuna.Study, number: int, values: Mapping[int, float]) -> bool:
    """Records the trial's validations by epoch; true if the pruner ends it here. What was reported before is kept."""
    known = study.get_trials(deepcopy=False)[number].intermediate_values
    trial = trial_of(study, number)
    for epoch in sorted(set(values) - set(known)):
        trial.report(values[epoch], epoch)
    return bool(trial.should_prune())


def tell(study: optuna.Study, number: int, state: TrialState, value: float | None = None, reason: str | None = None) -> None:
    """The trial is finished."""
    if reason is not None:
        trial_of(study, number).set_user_attr(REASON, reason)
    study.tell(number, value if state == TrialState.COMPLETE else None, state=state)


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The earliest of the best that finished."""
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(whole, key=lambda trial: (trial.value, -trial.number), default=None)


def trial_of(study: optuna.Study, number: int) -> Trial:
    return Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def _distribution(dimension: Range | Choices) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.choices)
    kind: Any = IntDistribution if dimension.whole else FloatDistribution
    step = dimension.step or (1 if dimension.whole else None)
    found: BaseDistribution = kind(low=dimension.low, high=dimension.high, log=dimension.log, step=step)
    return found


def _tidy(value: Any) -> Any:
    """0.3 and not 0.30000000000000004, which is what steps of 0.1 add up to."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _seed(seed: int, number: int, redraw: int) -> int:
    return int.from_bytes(hashlib.sha256(f"tune {seed} {number} {redraw}".encode()).digest()[:4], "big")
