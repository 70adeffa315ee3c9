"""MLflow as nightrank uses it: a parent run per night, a child run per stage. `mlflow` is imported inside functions only.

`python -m trainer.tracking --run-dir R --finish` logs result.json and the report to the parent run and closes it.
"""

import argparse
import fcntl
import hashlib
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from feature_store.contracts.config import validate
from feature_store.contracts.errors import DependencyUnreachable
from feature_store.contracts.files import read_json
from feature_store.contracts.lake import Lake
from feature_store.contracts.settings import MlflowSettings
from feature_store.contracts.stage import StageContext, load_context
from trainer.tracked import Point, params_of, result_points

RUN, STAGE, LAKE, MANIFEST = "nightrank.run_id", "nightrank.stage", "nightrank.lake", "nightrank.manifest_sha256"
NIGHT: Final = "night"
"""Value of STAGE on the parent run."""
AWAY: Final = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""Error codes under which MLflow's client reports a server or database that does not do its work."""
BATCH: Final = 1000
"""Metrics of one call: MLflow's own limit."""
REMEDY: Final = "start the server or mend mlflow.tracking_uri, then give the same command again; nothing is trained twice"


@dataclass(frozen=True)
class Tracker:
    """An open MLflow: its client, and the experiment every run goes into."""

    client: Any
    uri: str
    experiment_id: str
    settings: MlflowSettings

    def find_run(self, context: StageContext, stage: str) -> str | None:
        """The MLflow run id of a stage (or of the parent, NIGHT) of this run and lake; None before it was created."""
        wanted = {RUN: context.run_id, STAGE: stage, LAKE: lake_key(context.lake)}
        where = " and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items())
        found = self.client.search_runs([self.experiment_id], where, max_results=1)
        return str(found[0].info.run_id) if found else None

    def run_of(self, context: StageContext, stage: str = NIGHT) -> str:
        """As `find_run`, created where it is missing. A stage's run hangs under the parent."""
        found = self.find_run(context, stage)
        if found is not None:
            return found
        tags = {RUN: context.run_id, STAGE: stage, LAKE: lake_key(context.lake), "nightrank.kind": context.kind}
        if stage != NIGHT:
            tags["mlflow.parentRunId"] = self.run_of(context)
        name = context.run_id if stage == NIGHT else f"{context.run_id} {stage}"
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        return str(run.info.run_id)

    def log_points(self, run_id: str, points: list[Point]) -> None:
        from mlflow.entities import Metric

        now = _milliseconds()
        metrics = [Metric(point.name, point.value, now, point.step) for point in points]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def log_params(self, run_id: str, params: dict[str, str]) -> None:
        """Parameters not logged yet: MLflow refuses to change one, and a repeated stage must not fail for that."""
        from mlflow.entities import Param

        known = self.client.get_run(run_id).data.params
        new = [Param(name, value) for name, value in params.items() if name not in known]
        for start in range(0, len(new), 100):
            self.client.log_batch(run_id, params=new[start : start + 100])


@contextmanager
def tracker_of(context: StageContext) -> Iterator[Tracker]:
    """MLflow, reachable and with its experiment. DependencyUnreachable, in bounded time, where it does not answer."""
    settings = validate(MlflowSettings, context.config.get("mlflow", {}))
    uri = tracking_uri(settings, context.lake)
    probe(uri, settings.timeout_seconds)
    _environment(settings)
    with reaching(uri):
        yield _open(uri, settings, context.lake)


@contextmanager
def stage_run(context: StageContext, name: str, system_metrics: bool = True) -> Iterator[tuple[Tracker, str]]:
    """(tracker, MLflow run id) of the stage's own run, sampled for CPU and memory, ended FINISHED or FAILED.

    The configuration stands in its parameters and the run's snapshot in its inputs.
    """
    with tracker_of(context) as tracker:
        run_id = tracker.run_of(context, name)
        tracker.client.update_run(run_id, status="RUNNING")
        tracker.log_params(run_id, params_of(context.config))
        monitor = _monitor(run_id, tracker.uri) if system_metrics else None
        status = "FAILED"
        try:
            yield tracker, run_id
            status = "FINISHED"
        finally:
            if monitor is not None:
                monitor.finish()
            tracker.client.set_terminated(run_id, status)


def log_snapshot(tracker: Tracker, run_id: str, snapshot_path: Path, snapshot_id: str) -> None:
    """The snapshot is an input of the run, and its JSON an artifact. Logging it again changes nothing."""
    from mlflow.data.http_dataset_source import HTTPDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    source = HTTPDatasetSource(snapshot_path.resolve().as_uri())
    dataset = MetaDataset(source, name=f"snapshot-{snapshot_id[:12]}", digest=snapshot_id[:36])
    tags = [InputTag("mlflow.data.context", "training")]
    tracker.client.log_inputs(run_id, [DatasetInput(dataset._to_mlflow_entity(), tags)])
    tracker.client.log_artifact(run_id, str(snapshot_path), "snapshot")


def log_report(context: StageContext, path: Path) -> None:
    """The report (one file) and result.json are artifacts of the parent run. DependencyUnreachable where MLflow is away."""
    with tracker_of(context) as tracker:
        run_id = tracker.run_of(context)
        for file in (path, context.run_dir / "result.json"):
            if file.exists():
                tracker.client.log_artifact(run_id, str(file))


def finish(context: StageContext) -> None:
    """The parent run holds the numbers of result.json and the report, and is ended with the run's own outcome."""
    result = read_json(context.run_dir / "result.json")
    report = result.get("report")
    log_report(context, context.root / report if report else context.run_dir / "report.html")
    with tracker_of(context) as tracker:
        run_id = tracker.run_of(context)
        tracker.log_params(run_id, params_of(context.config))
        tracker.log_points(run_id, result_points(result))
        for name in ("status", "commit", "date"):
            tracker.client.set_tag(run_id, f"nightrank.{name}", str(result.get(name)))
        tracker.client.set_terminated(run_id, "FAILED" if result.get("status") == "failed" else "FINISHED")


def tracking_uri(settings: MlflowSettings, lake: Lake) -> str:
    return settings.tracking_uri or f"sqlite:///{(lake.mlflow / 'mlflow.db').resolve()}"


def lake_key(lake: Lake) -> str:
    """Tells lakes apart on one server without naming their paths."""
    return hashlib.sha256(str(lake.root.resolve()).encode()).hexdigest()[:16]


def probe(uri: str, timeout_seconds: float) -> None:
    """DependencyUnreachable unless a server given by http answers within the timeout. Other stores are not asked."""
    if urlsplit(uri).scheme not in ("http", "https"):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=timeout_seconds).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise DependencyUnreachable(f"MLflow at {shown(uri)} answers {error.code}", REMEDY) from None
    except (OSError, ValueError) as error:
        raise DependencyUnreachable(f"MLflow at {shown(uri)} does not answer: {error}", REMEDY) from None


def shown(uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """What MLflow, its HTTP client or its database raise for being away becomes DependencyUnreachable."""
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (requests.RequestException, sqlalchemy.exc.OperationalError, MlflowException) as error:
        if isinstance(error, MlflowException) and error.error_code not in AWAY:
            raise
        line = (str(error).splitlines() or [""])[0][:300]
        raise DependencyUnreachable(f"MLflow at {shown(uri)}: {type(error).__name__}: {line}", REMEDY) from error


def _environment(settings: MlflowSettings) -> None:
    """Short waits and no telemetry; what the environment says already is kept."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(settings.timeout_seconds))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")


def _open(uri: str, settings: MlflowSettings, lake: Lake) -> Tracker:
    import mlflow

    with _alone(lake, uri):
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        found = client.get_experiment_by_name(settings.experiment)
        if found is not None:
            return Tracker(client, uri, found.experiment_id, settings)
        artifacts = None if settings.tracking_uri else (lake.mlflow / "artifacts").resolve().as_uri()
        return Tracker(client, uri, client.create_experiment(settings.experiment, artifact_location=artifacts), settings)


@contextmanager
def _alone(lake: Lake, uri: str) -> Iterator[None]:
    """Two first opens of an absent SQLite file at once break it for good, so opening waits its turn."""
    if not uri.startswith("sqlite:"):
        yield
        return
    lake.mlflow.mkdir(parents=True, exist_ok=True)
    with open(lake.mlflow / ".open.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _monitor(run_id: str, uri: str) -> Any:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=uri)
    monitor.start()
    return monitor


def _milliseconds() -> int:
    import time

    return int(time.time() * 1000)


def main(argv: list[str] | None = None) -> int:
    """0 when the run is logged and closed, 8 with a warning when MLflow is away. The runner notes that and tries again on the
    next same command; a finished night does not fail for it."""
    parser = argparse.ArgumentParser(prog="trainer.tracking", description="Log a finished run to MLflow")
    parser.add_argument("--run-dir", type=Path, required=True, help="the run's folder, with result.json in it")
    parser.add_argument("--finish", action="store_true", required=True, help="log the result and close the parent run")
    arguments = parser.parse_args(argv)
    try:
        finish(load_context(arguments.run_dir))
    except DependencyUnreachable as error:
        print(f"warning: the run was not logged to MLflow: {error.message}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
