"""`nightrank run landed`: what a sensor looks at."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from pipeline_fakes import DAY, landed_lake

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.run.request import landed_since


def test_a_day_or_a_later_one_has_landed(tmp_path: Path) -> None:
    lake = landed_lake(tmp_path / "lake", days=3)
    assert landed_since(lake, DAY) == DAY
    (lake.landing_day("events", date(2024, 1, 2)) / "part-0.parquet").unlink()
    lake.landing_day("events", date(2024, 1, 2)).path.rmdir()
    assert landed_since(lake, date(2024, 1, 2)) == date(2024, 1, 3), "a later day says that this one brings none"
    assert landed_since(lake, date(2024, 1, 4)) is None


def test_a_folder_that_is_no_lake_is_wrong_use_and_not_a_day_to_wait_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        landed_since(Lake(tmp_path / "no-lake"), DAY)


def test_the_command_answers_by_its_exit_code(tmp_path: Path) -> None:
    lake = landed_lake(tmp_path / "lake", days=1)
    for day, code, found in (("2024-01-01", 0, "2024-01-01"), ("2024-01-02", 3, None)):
        command = [sys.executable, "-m", "nightrank.pipeline.cli", "run", "landed", "--date", day, "--root", str(lake.root)]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True)
        assert (done.returncode, json.loads(done.stdout)["day"]) == (code, found)
