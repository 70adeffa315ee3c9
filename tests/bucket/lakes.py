"""A tiny market in a lake, a full run and two nights of it, and what they leave by content."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import RUN_DIR

BUCKET: Final = "lakes"


def command_of(lake: Lake, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, "--root", str(lake.root), "--json"]


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != RUN_DIR}


def nightrank(lake: Lake, *arguments: str, expect: tuple[int, ...] = (0,), **environment: str) -> dict[str, Any]:
    """The command's one object on stdout. Its words are shown where the exit code is another than expected."""
    done = subprocess.run(
        command_of(lake, *arguments), capture_output=True, text=True, env={**clean_environment(), **environment}
    )
    assert done.returncode in expect, (
        f"{done.returncode} from {' '.join(arguments)}\n{done.stdout[-3000:]}\n{done.stderr[-4000:]}"
    )
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def simulated(root: Path | str, tracker: Path) -> tuple[Lake, tuple[str, ...]]:
    """A lake with a tiny market, and the options of its runs: MLflow's file is on this machine for every lake."""
    lake = Lake(root)
    nightrank(lake, "simulate", "--preset", "tiny")
    return lake, ("--config", "tiny", "--set", f"mlflow.tracking_uri=sqlite:///{tracker / f'{uuid.uuid4().hex}.db'}")


def runs(lake: Lake, options: tuple[str, ...]) -> list[tuple[str, ...]]:
    """A full run, and the two nights after it."""
    full, *nights = lake.landing_days("events")[-4:-1]
    return [("full", "--as-of", str(full), *options), *(("nightly", "--date", str(night), *options) for night in nights)]


def hashes(lake: Lake, result: dict[str, Any]) -> dict[str, str]:
    """Content of every table and of the weights. Ids of snapshots and bundles name files, which two lakes name differently."""
    tables = {table["name"]: table["content_sha256"] for stage in result["stages"] for table in stage["tables"]}
    if result["model"] is None:
        return tables
    manifest = (lake.root / "models" / result["model"]["manifest_sha256"] / "manifest.json").read_json()
    return {**tables, "weights": manifest["weights.safetensors"]}


def on_a_disk(folder: Path) -> tuple[Lake, list[dict[str, str]]]:
    lake, options = simulated(folder / "lake", folder)
    return lake, [hashes(lake, nightrank(lake, *command, expect=(0, 7))) for command in runs(lake, options)]
