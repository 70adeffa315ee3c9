"""An open MLflow: where it is, whether it answers, and which run of it belongs to which run of nightrank."""

import fcntl
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from nightrank.feature_store.contracts.errors import ConfigError, DependencyUnreachable
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import MlflowSettings
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import workplace
from nightrank.trainer.tracking.lake_address import LAKE, follow, lake_key
from nightrank.trainer.tracking.stage_times import span_of, start_of_run
from nightrank.trainer.tracking.tracked import Point

RUN, STAGE, MANIFEST = "nightrank.run_id", "nightrank.stage", "nightrank.manifest_sha256"
NIGHT: Final = "night"
"""Value of STAGE on the parent run."""
AWAY: Final = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
"""Error codes under which MLflow's client reports a server or database that does not do its work."""
REFUSED: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")
"""What a server says to those it does not know, or to whom it does not allow what they ask."""
BATCH: Final = 1000
"""Metrics of one call: MLflow's own limit."""
CREDENTIALS: Final = (
    "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, and give the same command again; "
    "nothing is trained twice"
)
REMEDY: Final = "start the server or fix mlflow.tracking_uri, then give the same command again; nothing is trained twice"


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
        span = span_of(context, stage)
        start = start_of_run(context) if stage == NIGHT else span and span[0]
        run = self.client.create_run(self.experiment_id, start_time=start, tags=tags, run_name=name)
        return str(run.info.run_id)

    def versions(self, name: str, tags: dict[str, str]) -> list[Any]:
        """The versions of the registered model that carry all these tags."""
        where = " and ".join([f"name = '{name}'", *(f"tags.`{key}` = '{value}'" for key, value in tags.items())])
        return list(self.client.search_model_versions(where))

    def log_points(self, run_id: str, points: list[Point]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
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
    with tracker_at(context.section("mlflow", MlflowSettings), context.lake) as tracker:
        yield tracker


@contextmanager
def tracker_at(settings: MlflowSettings, lake: Lake) -> Iterator[Tracker]:
    """As `tracker_of`, for what is no stage."""
    uri = tracking_uri(settings, lake)
    probe(uri, settings.timeout_seconds)
    _environment(settings)
    with reaching(uri):
        yield _open(uri, settings, lake)


def tracking_uri(settings: MlflowSettings, lake: Lake) -> str:
    """The server, or SQLite in the lake. ConfigError in a bucket without a server: SQLite needs a disk."""
    return settings.address(lake.mlflow)


def probe(uri: str, timeout_seconds: float) -> None:
    """DependencyUnreachable unless a server given by http answers within the timeout. Other stores are not asked."""
    if urlsplit(uri).scheme not in ("http", "https"):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=timeout_seconds).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise DependencyUnreachable(f"MLflow at {uri} answers {error.code}", REMEDY) from None
    except (OSError, ValueError) as error:
        raise DependencyUnreachable(f"MLflow at {uri} does not answer: {error}", REMEDY) from None


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """What MLflow, its HTTP client or its database raise for being away becomes DependencyUnreachable."""
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (requests.RequestException, sqlalchemy.exc.OperationalError, MlflowException) as error:
        if isinstance(error, MlflowException) and error.error_code in REFUSED:
            raise ConfigError(f"MLflow at {uri} refuses this user ({error.error_code.lower()})", CREDENTIALS) from None
        if isinstance(error, MlflowException) and error.error_code not in AWAY:
            raise
        line = (str(error).splitlines() or [""])[0][:300]
        raise DependencyUnreachable(f"MLflow at {uri}: {type(error).__name__}: {line}", REMEDY) from error


def _environment(settings: MlflowSettings) -> None:
    """Short waits and no telemetry; what the environment says already is kept."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(settings.timeout_seconds))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")


def _open(uri: str, settings: MlflowSettings, lake: Lake) -> Tracker:
    import mlflow

    # Where the client is given a `models:/` address, MLflow looks it up through its global address, not the client's.
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    with _alone(lake, uri):
        _made_whole(uri)
        client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        if settings.tracking_uri is None:
            follow(lake.mlflow / "mlflow.db", settings.experiment, lake)
        found = client.get_experiment_by_name(settings.experiment)
        if found is not None:
            return Tracker(client, uri, found.experiment_id, settings)
        return Tracker(client, uri, client.create_experiment(settings.experiment, artifact_location=_artifacts(uri)), settings)


def _artifacts(uri: str) -> str | None:
    """Beside an SQLite file, in the lake or elsewhere; a server decides for itself. MLflow's default is the working folder."""
    file = uri.removeprefix("sqlite:///")
    return None if file == uri else (Path(file).absolute().parent / "artifacts").as_uri()


def _made_whole(uri: str) -> None:
    """An absent SQLite file is made under another name and renamed: a kill in the middle of it breaks nothing permanently."""
    import mlflow

    file = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or file.exists():
        return
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{new}", registry_uri=f"sqlite:///{new}").search_experiments(max_results=1)
    new.rename(file)


@contextmanager
def _alone(lake: Lake, uri: str) -> Iterator[None]:
    """Two first opens of an absent SQLite file at once break it permanently, so opening waits its turn."""
    if not uri.startswith("sqlite:"):
        yield
        return
    folder = workplace(lake.mlflow)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".open.lock", "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
