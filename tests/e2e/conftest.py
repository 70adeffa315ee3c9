"""One full run of the tiny market and the night after it, made once; each test file that goes on from there has a copy.

A copied lake works where it stands (docs/runbook.md, "moving the lake"), so the copies also show that.
"""

import shutil
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nightrank.feature_store.contracts.lake import Lake
from tests.commands import nightrank

CONFIG = ("--config", "tiny", "--config", "models/ctr/mmoe", "--set", "ctr.epochs=1", "--set", "ids.in_report=true")


class ReadyLake(NamedTuple):
    """A lake that nobody may write to, its landed days, the results of its runs."""

    lake: Lake
    days: list[date]
    results: tuple[dict[str, Any], ...]

    def copy(self, folder: Path) -> Lake:
        shutil.copytree(self.lake.root.path, folder / "lake", symlinks=True)
        return Lake(folder / "lake")


@pytest.fixture(scope="session")
def after_full(tmp_path_factory: pytest.TempPathFactory) -> ReadyLake:
    """The full run knows all days but the last three."""
    lake = Lake(tmp_path_factory.mktemp("full") / "lake")
    nightrank(lake, "simulate", "--preset", "tiny")
    days = lake.landing_days("events")
    return ReadyLake(lake, days, (nightrank(lake, "full", "--as-of", str(days[-4]), *CONFIG),))


@pytest.fixture(scope="session")
def after_night(tmp_path_factory: pytest.TempPathFactory, after_full: ReadyLake) -> ReadyLake:
    """A rejected challenger is a result, and so small a market cannot promise another."""
    lake = after_full.copy(tmp_path_factory.mktemp("night"))
    night = nightrank(lake, "nightly", "--date", str(after_full.days[-3]), *CONFIG, expect=(0, 7))
    return ReadyLake(lake, after_full.days, (*after_full.results, night))
