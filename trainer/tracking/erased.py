"""A user in an MLflow that is not in the lake: looked for in, and taken out of, the lake's runs and logged models there.

Artefacts are reached through MLflow's client and the repository that their address names, never as a folder. A program of its
own, since it imports MLflow: one request from stdin, one answer.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.manifests import ERASURE, MANIFEST
from nightrank.feature_store.contracts.one_answer import one_answer
from nightrank.feature_store.contracts.settings import MlflowSettings
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.erasure import bundles, parquet_files
from nightrank.feature_store.erasure.rewrite import rewrite_text
from nightrank.feature_store.erasure.search import Hit, look
from nightrank.feature_store.erasure.user import ErasedUser
from nightrank.feature_store.erasure.words import pattern_of, replaced
from nightrank.trainer.tracking.lake_address import LAKE, lake_key
from nightrank.trainer.tracking.tracker import Tracker, tracker_at

PAGE: Final = 1000


class Request(FrozenConfig):
    root: str
    settings: MlflowSettings
    task: Literal["reach", "search", "erase"]
    names: tuple[str, ...] = ()
    marker: str = ""
    integer: bool = False
    dense: int | None = None


class Seeker:
    """One user, one tracker. `found`: what named him; `left`: what still does; `rewritten`: files that do not any more."""

    def __init__(self, tracker: Tracker, request: Request) -> None:
        self.tracker, self.erases = tracker, request.task == "erase"
        self.user = ErasedUser(request.names, request.marker, request.integer, request.dense)
        self.pattern: re.Pattern[bytes] = pattern_of(self.user)
        self.found: list[str] = []
        self.left: list[str] = []
        self.files = self.rewritten = 0

    def artefacts(self, uri: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(uri)
        for path in list(_files(repository, None)):
            self.files += 1
            with tempfile.TemporaryDirectory(prefix="nightrank-erase-") as folder:
                local = Path(repository.download_artifacts(path, folder))
                hit = look(locate(local), self.user, self.pattern) if local.stat().st_size else None
                if hit is not None:
                    self._told(f"{uri}/{path}", self.erases and self._rewritten(repository, path, hit, Path(folder)))

    def _rewritten(self, repository: Any, path: str, hit: Hit, folder: Path) -> bool:
        """False where the file cannot be written again: SQLite, or tensors."""
        if hit.kind == "parquet":
            parquet_files.rewrite(hit.place, self.user)
        elif not rewrite_text(hit, self.user, self.pattern):
            return False
        above = path.rpartition("/")[0]
        repository.log_artifact(str(hit.place.path), above or None)
        self.rewritten += 1
        beside = {Path(each.path).name: each.path for each in repository.list_artifacts(above or None)}
        if hit.kind == "parquet" and MANIFEST in beside:
            # The bundle's readers check its files: `erasure.json` says which of them are no longer the listed ones.
            for name in beside.values():
                if name.endswith((".parquet", MANIFEST, ERASURE)):
                    repository.download_artifacts(name, str(folder))
            manifest = folder / beside[MANIFEST]
            if bundles.corrected(locate(manifest)):
                repository.log_artifact(str(manifest.with_name(ERASURE)), above or None)
        return True

    def words(self, run: Any) -> None:
        """Tags are written again; MLflow changes no parameter."""
        for name, value in run.data.tags.items():
            if self.pattern.search(str(value).encode()):
                if self.erases:
                    text = replaced(str(value).encode(), self.pattern, self.user.marker)[0].decode()
                    self.tracker.client.set_tag(run.info.run_id, name, text)
                self._told(f"run {run.info.run_id}, tag {name}", self.erases)
        for name, value in run.data.params.items():
            if self.pattern.search(str(value).encode()):
                self._told(f"run {run.info.run_id}, parameter {name}", False)

    def _told(self, what: str, gone: bool) -> None:
        self.found.append(what)
        if not gone:
            self.left.append(what)


def sought(request: Request) -> dict[str, Any]:
    """`found`, `left`, and counts of the `files` read and `rewritten`. With `reach` the tracker is opened, and that is all."""
    lake = Lake(locate(request.root))
    with tracker_at(request.settings, lake) as tracker:
        seeker = Seeker(tracker, request)
        if request.task != "reach":
            runs = list(_runs(tracker, lake))
            for run in runs:
                seeker.words(run)
            for uri in _addresses(tracker, runs):
                seeker.artefacts(uri)
    return {"found": seeker.found, "left": seeker.left, "files": seeker.files, "rewritten": seeker.rewritten}


def _runs(tracker: Tracker, lake: Lake) -> Iterator[Any]:
    """Of this lake, deleted ones too: their artefacts stay until MLflow's garbage is collected."""
    from mlflow.entities import ViewType

    token: str | None = None
    while True:
        page = tracker.client.search_runs(
            [tracker.experiment_id], f"tags.`{LAKE}` = '{lake_key(lake)}'", ViewType.ALL, PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _addresses(tracker: Tracker, runs: list[Any]) -> list[str]:
    """Where the artefacts of the runs and of the models that they logged are, each once."""
    ours = {run.info.run_id for run in runs}
    logged = tracker.client.search_logged_models(experiment_ids=[tracker.experiment_id])
    models = [model.artifact_location for model in logged if model.source_run_id in ours]
    return list(dict.fromkeys([*(run.info.artifact_uri for run in runs), *models]))


def _files(repository: Any, folder: str | None) -> Iterator[str]:
    for entry in repository.list_artifacts(folder):
        if entry.is_dir:
            yield from _files(repository, entry.path)
        else:
            yield str(entry.path)


def main() -> int:
    return one_answer(lambda text: sought(Request.model_validate_json(text)))


if __name__ == "__main__":
    raise SystemExit(main())
