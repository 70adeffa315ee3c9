"""The search as a process: `python -m nightrank.trainer.tune.run --study-dir LAKE/tune/<study>`, started by `nightrank tune`.

Leaves `result.json` and exit code 0, or `error.json` and the fault's own code. Killed anywhere and started again it continues:
a finished trial is not repeated, the one that was cut off resumes from its checkpoint.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from nightrank.feature_store.contracts.errors import DependencyUnreachable, NightrankError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.stage import exit_codes
from nightrank.feature_store.contracts.storage import locate, workplace
from nightrank.trainer.config.tune import TuneConfig
from nightrank.trainer.tune import record
from nightrank.trainer.tune import study as studies
from nightrank.trainer.tune.objective import run_trial
from nightrank.trainer.tune.overlay import write_overlay
from nightrank.trainer.tune.pictures import draw
from nightrank.trainer.tune.search import Outcome, Search
from nightrank.trainer.tune.space import Params, values_of
from nightrank.trainer.tune.spec import NOTE, StudySpec, load_spec

KNOWN.update({"tune.trial.logged", "tune.close.before"})


def run(spec: StudySpec) -> dict[str, Any]:
    """The study's result, also on disk and in MLflow, once it has as many trials as were asked for."""
    started = time.monotonic()
    config = spec.config.section("tune", TuneConfig)
    studies.mend(spec.folder)
    study = studies.open_study(spec.folder, config.pruner)
    parent = record.open_parent(spec)
    search = Search(
        study=study,
        space=spec.space,
        config=config,
        seed=spec.seed,
        trials=spec.trials,
        first=_as_configured(spec),
        until=None if spec.timeout_seconds is None else started + spec.timeout_seconds,
    )
    exhausted = search.run(lambda number, params: _tried(spec, study, number, params))
    failpoint("tune.close.before")
    return _closed(spec, study, config, parent, exhausted)


def _tried(spec: StudySpec, study: optuna.Study, number: int, params: Params) -> Outcome:
    """One trial, trained and logged: it counts as finished only after that."""
    record.begin_trial(spec, number, params)
    outcome = run_trial(spec, number, params)
    best = studies.best_of(studies.finished(study))
    values = [trial.value for trial in (best,) if trial is not None and trial.value is not None]
    values += [outcome.value] if outcome.state == "complete" and outcome.value is not None else []
    record.end_trial(spec, number, outcome, max(values, default=None))
    failpoint("tune.trial.logged")
    return outcome


def _as_configured(spec: StudySpec) -> Params | None:
    """What the configuration itself says for the searched keys; None where the space does not hold it."""
    params = values_of(spec.config.tree, spec.space)
    inside = len(params) == len(spec.space) and all(spec.space[key].holds(value) for key, value in params.items())
    return params if inside else None


def _closed(spec: StudySpec, study: optuna.Study, config: TuneConfig, parent: str, exhausted: bool) -> dict[str, Any]:
    trials = studies.finished(study)
    best = studies.best_of(trials)
    if trials and best is None:
        raise NightrankError(
            f"none of the {len(trials)} trials of study {spec.study} finished; the last: "
            f"{trials[-1].user_attrs.get(studies.REASON, 'pruned')}",
            "fix that fault, or narrow the space; a larger --trials tries more",
        )
    pictures = draw(study, spec.space, config, spec.seed, workplace(spec.folder))
    overlay = None
    if best is not None and best.value is not None:
        overlay = write_overlay(spec, dict(best.params), best.number, best.value)
    result = result_of(spec, trials, best) | {
        "overlay": None if overlay is None else str(overlay),
        "pictures": {name: str(path) for name, path in pictures.items()},
        "mlflow_run": parent,
        "exhausted": exhausted,
    }
    staged = spec.folder / "summary" / "result.json"
    write_json(staged, result)
    record.close_parent(spec, result, [*pictures.values(), *([overlay] if overlay else []), staged])
    write_json(spec.result_path, result)
    return result


def result_of(spec: StudySpec, trials: Sequence[FrozenTrial], best: FrozenTrial | None) -> dict[str, Any]:
    """Counts, the best trial and every other, in the order of their numbers."""
    counted = {state: sum(trial.state == state for trial in trials) for state in studies.FINISHED}
    return {
        "study": spec.study,
        "run_id": spec.run_id,
        "snapshot": spec.snapshot,
        "chosen_by": NOTE,
        "trials": len(trials),
        "complete": counted[TrialState.COMPLETE],
        "pruned": counted[TrialState.PRUNED],
        "failed": counted[TrialState.FAIL],
        "best": None if best is None else {"trial": best.number, "value": best.value, "params": dict(best.params)},
        "all": [_row(spec, trial) for trial in trials],
    }


def _row(spec: StudySpec, trial: FrozenTrial) -> dict[str, Any]:
    left = spec.folder / record.name_of(trial.number) / "result.json"
    return {
        "trial": trial.number,
        "state": {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(trial.state, "failed"),
        "value": trial.value if trial.state == TrialState.COMPLETE else None,
        "epochs": max(trial.intermediate_values, default=0),
        "seconds": read_json(left)["seconds"] if left.exists() else None,
        "params": dict(trial.params),
        "reason": trial.user_attrs.get(studies.REASON),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="nightrank.trainer.tune.run", description="Search for settings over a finished run's snapshot"
    )
    parser.add_argument("--study-dir", type=locate, required=True, help="the study's folder, with study.json in it")
    spec = load_spec(parser.parse_args(argv).study_dir)
    with exit_codes() as outcome:
        try:
            run(spec)
        except NightrankError as error:
            write_json(spec.error_path, {"exit_code": error.exit_code, **error.to_json()})
            if not isinstance(error, DependencyUnreachable):
                with suppress(DependencyUnreachable):
                    record.fail_parent(spec)
            raise
    return outcome[0]


if __name__ == "__main__":
    raise SystemExit(main())
