"""Does the MLflow that the configuration names answer?"""

import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.pipeline.doctor.finding import Finding

TIMEOUT_SECONDS = 5.0


def check_mlflow(settings: DataSettings) -> list[Finding]:
    uri = settings.mlflow.tracking_uri
    if uri is None:
        return [Finding("mlflow", "ok", "SQLite inside the lake; no server configured")]
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return [_server(uri, f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}")]
    if parts.scheme == "sqlite":
        folder = Path(uri.removeprefix("sqlite:///")).absolute().parent
        if not folder.is_dir():
            return [Finding("mlflow", "warn", f"the folder {folder} of the SQLite file does not exist", f"mkdir -p {folder}")]
        return [Finding("mlflow", "ok", f"SQLite in {folder}")]
    remedy = "set mlflow.tracking_uri to an http(s) server or to sqlite:///FILE (MLflow refuses its old file store)"
    return [Finding("mlflow", "warn", f"cannot tell from here whether a {parts.scheme or 'folder'} store works", remedy)]


def _server(uri: str, shown: str) -> Finding:
    """`shown` is the address without what may be a password."""
    remedy = "start the server or fix mlflow.tracking_uri; a run keeps its bundle, and the next attempt registers it"
    if shown.rstrip("/") != uri.rstrip("/"):
        remedy += "; keep credentials in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, not in the address"
    try:
        with urllib.request.urlopen(f"{shown.rstrip('/')}/health", timeout=TIMEOUT_SECONDS) as answer:
            return Finding("mlflow", "ok", f"{shown} answers ({answer.status})")
    except urllib.error.HTTPError as error:
        return Finding("mlflow", "warn", f"{shown} answers /health with {error.code}", remedy)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return Finding("mlflow", "fail", f"{shown} does not answer: {getattr(error, 'reason', error)}", remedy)
