"""run.json: opening a run's folder, or opening it again where an earlier attempt was cut off."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.secrets import masked
from nightrank.pipeline.run import facts
from nightrank.pipeline.run.request import RunRequest, work_sha256
from nightrank.pipeline.stages import Stage


@dataclass(frozen=True)
class RunDirectory:
    """One open run: its folder and what run.json says."""

    folder: Path
    body: dict[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.body["run_id"])

    def done(self, stage: Stage) -> bool:
        return (self.folder / "stages" / f"{stage.name}.json").exists()

    def error_of(self, stage: Stage) -> dict[str, Any] | None:
        path = self.folder / "stages" / f"{stage.name}.error.json"
        return dict(read_json(path)) if path.exists() else None

    def log_of(self, stage: Stage) -> Path:
        return self.folder / "logs" / f"{stage.name}.log"

    def forget(self, stage: Stage) -> None:
        """The stage counts as not done, so that it runs again."""
        (self.folder / "stages" / f"{stage.name}.json").unlink(missing_ok=True)
        (self.folder / "stages" / f"{stage.name}.error.json").unlink(missing_ok=True)


def open_run_directory(request: RunRequest, run_id: str, fence: int) -> RunDirectory:
    """run.json written for this attempt. Stages done under another configuration are forgotten."""
    folder = request.lake.run_dir(run_id)
    earlier = read_json(folder / "run.json") if (folder / "run.json").exists() else {}
    if earlier and earlier["work_sha256"] != work_sha256(request.config):
        shutil.rmtree(folder / "stages", ignore_errors=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    body = {
        "root": str(request.root),
        "run_id": run_id,
        "kind": request.kind,
        "date": request.day.isoformat(),
        "seed": int(request.config.get("seed", 0)),
        "fence": fence,
        "attempt": int(earlier.get("attempt", 0)) + 1,
        "config": masked(request.config),
        "config_sha256": request.config_sha256,
        "work_sha256": work_sha256(request.config),
        "commit": facts.commit(),
        "versions": facts.versions(),
        "machine": facts.machine(),
        "started": earlier.get("started", now),
        "attempt_started": now,
    }
    write_json(folder / "run.json", body)
    return RunDirectory(folder, body)
