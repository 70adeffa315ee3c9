"""MLflow as nightrank uses it: a parent run per night, a child run per stage. `mlflow` is imported inside functions only.

`python -m nightrank.trainer.tracking.runs --run-dir R --finish` logs result.json and the report to the
parent run and closes it.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from nightrank.feature_store.contracts.errors import DependencyUnreachable
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.stage import StageContext, load_context
from nightrank.feature_store.contracts.storage import Location, local_copy, locate
from nightrank.trainer.tracking.lake_address import LAKE, lake_key
from nightrank.trainer.tracking.stage_times import span_of
from nightrank.trainer.tracking.tracked import params_of, result_points, stage_points
from nightrank.trainer.tracking.tracker import MANIFEST, RUN, Tracker, tracker_of
from nightrank.trainer.tracking.version_notes import gate_tags, notes_of

WITHOUT_RUN: Final = ("release", "report", "verdict")
"""Stages that only write down what others made: a run of their own would clutter the experiment."""


@contextmanager
def stage_run(context: StageContext, name: str) -> Iterator[tuple[Tracker, str]]:
    """(tracker, MLflow run id) of the stage's own run, ended FINISHED or FAILED.

    The configuration is in its parameters and the run's snapshot in its inputs.
    """
    with tracker_of(context) as tracker:
        run_id = tracker.run_of(context, name)
        tracker.client.update_run(run_id, status="RUNNING")
        tracker.log_params(run_id, params_of(context.config.tree))
        status = "FAILED"
        try:
            yield tracker, run_id
            status = "FINISHED"
        finally:
            tracker.client.set_terminated(run_id, status)


def log_snapshot(tracker: Tracker, run_id: str, snapshot_path: Location, snapshot_id: str) -> None:
    """The snapshot is an input of the run, and its JSON an artifact. Logging it again changes nothing."""
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    source = HTTPDatasetSource(snapshot_path.uri)
    dataset = MetaDataset(source, name=f"snapshot-{snapshot_id[:12]}", digest=snapshot_id[:36])  # type: ignore[abstract]
    tags = [InputTag("mlflow.data.context", "training")]
    tracker.client.log_inputs(run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])
    tracker.client.log_artifact(run_id, str(local_copy(snapshot_path)), "snapshot")


def log_report(context: StageContext, path: Location) -> None:
    """The report (one file) and result.json are artifacts of the parent run. DependencyUnreachable where MLflow is away."""
    with tracker_of(context) as tracker:
        run_id = tracker.run_of(context)
        for file in (path, context.run_dir / "result.json"):
            if file.exists():
                tracker.client.log_artifact(run_id, str(local_copy(file)))


def finish(context: StageContext) -> None:
    """The parent run holds the numbers of result.json and the report, and is ended with the run's own outcome.

    Every stage that worked on data or a model has a run under it, with its rows, bytes and seconds and what it took of CPU and
    memory; of the others the parent has the seconds. The run's model version says its figures and the gate's decision.
    """
    result = read_json(context.run_dir / "result.json")
    report = result.get("report")
    log_report(context, context.root / report if report else context.run_dir / "report.html")
    with tracker_of(context) as tracker:
        run_id = tracker.run_of(context)
        tracker.log_params(run_id, params_of(context.config.tree))
        tracker.log_points(run_id, result_points(result))
        for stage in result["stages"]:
            _finish_stage(context, tracker, stage)
        _describe_version(context, tracker, result)
        for name in ("status", "commit", "date"):
            tracker.client.set_tag(run_id, f"nightrank.{name}", str(result.get(name)))
        for key, value in gate_tags(result).items():
            tracker.client.set_tag(run_id, key, value)
        tracker.client.set_terminated(run_id, "FAILED" if result.get("status") == "failed" else "FINISHED")


def _finish_stage(context: StageContext, tracker: Tracker, stage: dict[str, Any]) -> None:
    if stage["status"] == "not_run" or stage["name"] in WITHOUT_RUN:
        return
    run_id = tracker.run_of(context, stage["name"])
    sampled = context.run_dir / "system" / f"{stage['name']}.json"
    samples = read_json(sampled)["samples"] if sampled.exists() else []
    tracker.log_points(run_id, stage_points(stage, samples))
    span = span_of(context, stage["name"])
    tracker.client.set_terminated(run_id, "FINISHED" if stage["status"] == "done" else "FAILED", span and span[1])


def _describe_version(context: StageContext, tracker: Tracker, result: dict[str, Any]) -> None:
    """The description and the tags of the version that this run registered, if it did and this tracker holds it."""
    model = result.get("model")
    if not model:
        return
    notes = notes_of(context.run_id, context.day.isoformat(), model, result)
    wanted = {RUN: context.run_id, MANIFEST: model["manifest_sha256"], LAKE: lake_key(context.lake)}
    for found in tracker.versions(model["name"], wanted):
        tracker.client.update_model_version(model["name"], found.version, notes.description)
        for key, value in notes.tags.items():
            tracker.client.set_model_version_tag(model["name"], found.version, key, value)


def main(argv: list[str] | None = None) -> int:
    """0 when the run is logged and closed, 8 with a warning when MLflow is away. The runner notes that and tries again on the
    next same command; a finished night does not fail for it."""
    parser = argparse.ArgumentParser(prog="nightrank.trainer.tracking.runs", description="Log a finished run to MLflow")
    parser.add_argument("--run-dir", type=locate, required=True, help="the run's folder, with result.json in it")
    parser.add_argument("--finish", action="store_true", required=True, help="log the result and close the parent run")
    arguments = parser.parse_args(argv)
    try:
        finish(load_context(arguments.run_dir))
    except DependencyUnreachable as error:
        log.info(f"warning: the run was not logged to MLflow: {error.message}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
