"""A tiny market in a lake, a full run and two nights of it, and what they leave by content."""

import uuid
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.lake import Lake
from tests.commands import hashes, nightrank

BUCKET: Final = "lakes"


def simulated(root: Path | str, tracker: Path) -> tuple[Lake, tuple[str, ...]]:
    """A lake with a tiny market, and the options of its runs: MLflow's file is on this machine for every lake."""
    lake = Lake(root)
    nightrank(lake, "simulate", "--preset", "tiny")
    return lake, ("--config", "tiny", "--set", f"mlflow.tracking_uri=sqlite:///{tracker / f'{uuid.uuid4().hex}.db'}")


def runs(lake: Lake, options: tuple[str, ...]) -> list[tuple[str, ...]]:
    """A full run, and the two nights after it."""
    full, *nights = lake.landing_days("events")[-4:-1]
    return [("full", "--as-of", str(full), *options), *(("nightly", "--date", str(night), *options) for night in nights)]


def on_a_disk(folder: Path, *more: str) -> tuple[Lake, list[dict[str, str]]]:
    """A full run and two nights on this machine's disk; `more` are options of all three."""
    lake, options = simulated(folder / "lake", folder)
    options = (*options, *more)
    return lake, [hashes(lake, nightrank(lake, *command, expect=(0, 7))) for command in runs(lake, options)]
