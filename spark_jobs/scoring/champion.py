"""The champion's bundle for scoring: from MLflow's registry, checked against `LAKE/champion.json`, which is the truth."""

import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final, NamedTuple

from nightrank.feature_store.contracts.errors import ConflictError, DataContractError, DependencyUnreachable
from nightrank.feature_store.contracts.files import read_json, sha256_file
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.ranker_facts import ranker_facts
from nightrank.feature_store.contracts.settings import MlflowSettings
from nightrank.feature_store.contracts.storage import Location, local_folder, locate, workplace

ALIAS: Final = "champion"
MANIFEST: Final = "manifest.json"


class Champion(NamedTuple):
    """`folder` holds the bundle on this machine, `shared` is where executors find it; `note` says what was unusual."""

    ref: ModelRef
    folder: Path
    shared: Location
    note: str | None


def open_champion(lake: Lake, settings: MlflowSettings, into: Location) -> Champion:
    """The bundle that champion.json names, downloaded to `into`; the lake's own copy where MLflow is away.

    UsageError before the first champion; DataContractError where the registry holds another bundle under that version;
    DependencyUnreachable where neither MLflow nor the lake has it.
    """
    return open_model(lake, settings, lake.expect_champion(), into, lake.champion_path.name)


def open_list_model(
    lake: Lake, settings: MlflowSettings, run_dir: Location, into: Location, decided: str | None = None
) -> Champion:
    """What makes the run's lists: the champion, or the copy of it that stage gate grew for items that came since.

    ConflictError where that is not the model with the manifest `decided`, which the gate of this run named.
    """
    opened = _open_list_model(lake, settings, run_dir, into)
    if decided is not None and decided != opened.ref.manifest_sha256:
        raise ConflictError(
            f"the gate of run {run_dir.name} chose model {decided[:12]}, but the champion is now version "
            f"{opened.ref.version} ({opened.ref.manifest_sha256[:12]})",
            "nothing was scored; run stage gate of this run again: it compares with the current champion",
        )
    return opened


def _open_list_model(lake: Lake, settings: MlflowSettings, run_dir: Location, into: Location) -> Champion:
    path = run_dir / LIST_MODEL
    if not path.exists():
        return open_champion(lake, settings, into)
    grown, champion = load_model_ref(path), lake.expect_champion()
    if (grown.name, grown.version) != (champion.name, champion.version):  # another model went live since
        return open_champion(lake, settings, into)
    shared = lake.root / grown.bundle
    folder = local_folder(shared)
    check(folder, grown, path.name)
    new = grown.vocabulary_items - champion.vocabulary_items
    return Champion(
        grown, folder, shared, f"scored with a copy of version {champion.version} that has rows for {new} new items"
    )


def open_model(lake: Lake, settings: MlflowSettings, ref: ModelRef, into: Location, source: str) -> Champion:
    """The bundle of the reference in the file `said_by`, as `open_champion` gets it."""
    kept = lake.root / ref.bundle
    try:
        folder, note = _download(lake, settings, ref, workplace(into), source)
    except DependencyUnreachable as error:
        if not kept.exists():
            raise
        folder, note = local_folder(kept), f"scored with the lake's own copy: {error.message}"
    check(folder, ref, source)
    return Champion(ref, folder, _shared(folder, kept), note)


def _shared(folder: Path, kept: Location) -> Location:
    """Where executors find the bundle: on a disk they share, in the folder itself; else at its place in the lake."""
    if kept.is_local:
        return locate(folder)
    if not (kept / MANIFEST).is_file():
        kept.upload_folder(folder, last=MANIFEST)
    return kept


def list_model_facts(champion: Champion, items: int) -> dict[str, Any]:
    """What result.json says of the model that made the lists of a catalogue of so many items."""
    ref, config = champion.ref, read_json(champion.folder / "config.json")
    named = {"name": ref.name, "version": ref.version, "manifest_sha256": ref.manifest_sha256, "trained_by": ref.run_id}
    left_out = {"items_not_scored": max(0, items - int(config["items"])), "note": champion.note}
    return {**named, **ranker_facts(config["ranker"]), **left_out}


def check(folder: Path, ref: ModelRef, source: str) -> None:
    """DataContractError unless the manifest is the one that is named; executors check the files against the manifest."""
    found = sha256_file(folder / MANIFEST) if (folder / MANIFEST).exists() else "no manifest"
    if found != ref.manifest_sha256:
        raise DataContractError(
            f"the bundle of {ref.name} version {ref.version} has manifest {found}, {source} names {ref.manifest_sha256}",
            "register the run again, or roll back to another version",
        )


def _download(lake: Lake, settings: MlflowSettings, ref: ModelRef, into: Path, source: str) -> tuple[Path, str | None]:
    uri = settings.address(lake.mlflow)
    _probe(lake, settings, uri)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(settings.timeout_seconds))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Imported here: it takes seconds, and only this stage needs it.
    import mlflow
    import requests
    import sqlalchemy.exc
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    try:
        aliased = int(mlflow.MlflowClient().get_model_version_by_alias(ref.name, ALIAS).version)
        # The alias follows champion.json; after a crash between the two it is behind until the next command moves it.
        name = f"models:/{ref.name}@{ALIAS}" if aliased == ref.version else f"models:/{ref.name}/{ref.version}"
        local = Path(mlflow.artifacts.download_artifacts(artifact_uri=name, dst_path=str(into)))
    except (requests.RequestException, sqlalchemy.exc.SQLAlchemyError, MlflowException, OSError) as error:
        line = (str(error).splitlines() or [""])[0][:200]
        raise DependencyUnreachable(f"MLflow has no {ref.name} version {ref.version}: {line}", _REMEDY) from error
    note = None if aliased == ref.version else f"alias {ALIAS} stands at version {aliased}, {source} at {ref.version}"
    return _bundle_in(local, ref), note


_REMEDY: Final = "start the server or fix mlflow.tracking_uri, then give the same command again"


def _probe(lake: Lake, settings: MlflowSettings, uri: str) -> None:
    """DependencyUnreachable in bounded time for a server that is away, and for a lake whose registry file is not there."""
    if uri.startswith("sqlite:") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise DependencyUnreachable(f"the MLflow registry of {lake.root} does not exist", _REMEDY)
    if not uri.startswith("http"):
        return
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=settings.timeout_seconds).close()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise DependencyUnreachable(f"MLflow answers {error.code}", _REMEDY) from None
    except (OSError, ValueError) as error:
        raise DependencyUnreachable(f"MLflow does not answer: {error}", _REMEDY) from None


def _bundle_in(local: Path, ref: ModelRef) -> Path:
    """The bundle's folder inside the registered model, which wraps it for MLflow's own loaders."""
    folders = sorted(path.parent for path in local.rglob(MANIFEST))
    if not folders:
        raise DataContractError(f"{ref.name} version {ref.version} holds no bundle", "register the run again")
    return folders[0]
