"""A study in MLflow: a parent run, and a nested run for each trial. Logging again what is there changes nothing."""

from datetime import date
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location, local_copy
from nightrank.trainer.tracking.runs import log_snapshot
from nightrank.trainer.tracking.tracked import Point, curve_points, params_of
from nightrank.trainer.tracking.tracker import tracker_of
from nightrank.trainer.tune.search import Outcome, shown
from nightrank.trainer.tune.space import Params
from nightrank.trainer.tune.spec import NOTE, StudySpec

STATE: Final = "nightrank.trial"
"""Tag of a trial's run: complete, pruned or failed."""
REASON: Final = "nightrank.reason"


def open_parent(spec: StudySpec) -> str:
    """The study's run, RUNNING, with configuration, space and snapshot. DependencyUnreachable where MLflow is away."""
    with tracker_of(context_of(spec)) as tracker:
        run_id = tracker.run_of(context_of(spec))
        tracker.client.update_run(run_id, status="RUNNING")
        tracker.client.set_tag(run_id, "mlflow.note.content", NOTE)
        tracker.log_params(run_id, params_of(spec.config.tree))
        log_snapshot(tracker, run_id, spec.lake.snapshot(spec.snapshot), spec.snapshot)
        space = {key: dimension.model_dump(mode="json", exclude_none=True) for key, dimension in spec.space.items()}
        tracker.client.log_dict(run_id, space, "space.yaml")
        return run_id


def begin_trial(spec: StudySpec, number: int, params: Params) -> None:
    """The trial's run is under the parent with its parameters, from the moment it begins."""
    with tracker_of(context_of(spec)) as tracker:
        run_id = tracker.run_of(context_of(spec), name_of(number))
        tracker.client.update_run(run_id, status="RUNNING")
        tracker.log_params(run_id, {key: str(value) for key, value in params.items()})


def end_trial(spec: StudySpec, number: int, outcome: Outcome, best: float | None) -> None:
    """The trial's run holds its curves, its value and how it ended. `best`: of the study, this trial counted."""
    with tracker_of(context_of(spec)) as tracker:
        run_id = tracker.run_of(context_of(spec), name_of(number))
        if tracker.client.get_run(run_id).data.tags.get(STATE) is None:
            tracker.log_points(run_id, [*curve_points(outcome.facts.get("curves", {})), *_values(outcome)])
            if best is not None:
                tracker.log_points(tracker.run_of(context_of(spec)), [Point("best", best, number)])
            if outcome.reason:
                tracker.client.set_tag(run_id, REASON, outcome.reason[:1000])
            tracker.client.set_tag(run_id, STATE, outcome.state)
        tracker.client.set_terminated(run_id, "FAILED" if outcome.state == "failed" else "FINISHED")


def close_parent(spec: StudySpec, result: dict[str, Any], files: list[Path | Location]) -> None:
    """Pictures, overlay and result are the parent's artifacts, and it is FINISHED."""
    with tracker_of(context_of(spec)) as tracker:
        run_id = tracker.run_of(context_of(spec))
        for file in files:
            tracker.client.log_artifact(run_id, str(local_copy(file)))
        for name in ("trials", "pruned", "failed"):
            tracker.client.log_metric(run_id, name, result[name], step=result["trials"])
        if result["best"]:
            for key, value in result["best"]["params"].items():
                tracker.client.set_tag(run_id, f"best.{key}", shown(value))
        tracker.client.set_terminated(run_id, "FINISHED")


def fail_parent(spec: StudySpec) -> None:
    with tracker_of(context_of(spec)) as tracker:
        tracker.client.set_terminated(tracker.run_of(context_of(spec)), "FAILED")


def context_of(spec: StudySpec) -> StageContext:
    """The study as the tracker knows runs: its trials are what stages are to a night."""
    return StageContext(
        root=spec.lake.root,
        run_id=f"tune-{spec.study}",
        kind="tune",
        day=date.fromisoformat(spec.date),
        seed=spec.seed,
        fence=0,
        config=spec.config,
    )


def name_of(number: int) -> str:
    return f"trial-{number:04d}"


def _values(outcome: Outcome) -> list[Point]:
    named = {"value": outcome.value, "epochs": outcome.facts.get("epochs"), "seconds": outcome.facts.get("seconds")}
    return [Point(name, float(value), 0) for name, value in named.items() if value is not None]
