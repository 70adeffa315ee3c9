"""One trial as the search sees it: a job of its own, launched and supervised; its checkpoints are removed at the end."""

from typing import Any

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError, NightrankError, StalledError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.process import this_process
from nightrank.feature_store.contracts.settings import SparkSettings, TextSettings
from nightrank.trainer.config.job import Job, Trial, load_job
from nightrank.trainer.config.pretrained import with_architectures
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.config.tune import TuneConfig
from nightrank.trainer.launch import launch
from nightrank.trainer.ranks.faults import DivergedError
from nightrank.trainer.tune.search import Outcome
from nightrank.trainer.tune.space import Params, applied
from nightrank.trainer.tune.spec import StudySpec

KNOWN.update({"tune.launch.before", "tune.launch.after"})
OF_THE_TRIAL = (DivergedError.code, NightrankError.code)
"""Faults that are the parameters' own: no number any more, or a worker that crashed on them. Others end the search."""
ATTEMPTS = 3
"""A trial that lost a rank this often fails: it may be too large for the machine, and the search would never get past it."""


def run_trial(spec: StudySpec, number: int, params: Params) -> Outcome:
    """Trains the trial, from its checkpoint where it was begun before; already trained, only its result is read."""
    try:
        job = build_job(spec, number, params)
    except ConfigError as error:
        return Outcome("failed", reason=error.message)
    if not job.result_path.exists():
        job.save()
        failpoint("tune.launch.before")
        try:
            launch(job)
        except NightrankError as error:
            if not _is_the_trials(error, job):
                raise
            if not job.result_path.exists():
                return _without_checkpoints(job, Outcome("failed", reason=error.message))
        failpoint("tune.launch.after")
    return _without_checkpoints(job, _outcome(read_json(job.result_path)))


def _is_the_trials(error: NightrankError, job: Job) -> bool:
    """Whether the fault ends this trial alone. A rank lost too soon counts as one more attempt, and ends the search."""
    if not isinstance(error, StalledError):
        return error.code in OF_THE_TRIAL
    if job.result_path.exists() or job.attempt >= ATTEMPTS:
        return True
    job.model_copy(update={"attempt": job.attempt + 1}).save()
    return False


def build_job(spec: StudySpec, number: int, params: Params) -> Job:
    """Everything that the trial's ranks are given. ConfigError for parameters that do not go together."""
    config = spec.config.section("tune", TuneConfig)
    trial = Trial(study=spec.relative, number=number, pruner=config.pruner)
    text = spec.config.section("text", TextSettings)
    job = Job(
        root=str(spec.lake.root),
        run_id=f"{spec.study}-{number}",
        kind="full",
        date=spec.date,
        seed=spec.seed,
        attempt=1,
        snapshot=str(spec.lake.snapshot(spec.snapshot)),
        config=with_architectures(validate(TrainerConfig, applied(spec.config.tree, params)["trainer"]), text),
        spark=spec.config.section("spark", SparkSettings),
        text=text,
        trial=trial,
        launcher=this_process(),
    )
    return job.model_copy(update={"attempt": load_job(job.path).attempt}) if job.path.exists() else job


def _outcome(facts: dict[str, Any]) -> Outcome:
    if facts["value"] is None:
        return Outcome("failed", reason="nothing was validated", facts=facts)
    return Outcome("pruned" if facts["pruned"] else "complete", facts["value"], facts=facts)


def _without_checkpoints(job: Job, outcome: Outcome) -> Outcome:
    job.checkpoints.remove_tree()
    return outcome
