"""An executor that cannot run our code is found by name: by the doctor, and by a run before its first stage."""

import sys
from datetime import date
from pathlib import Path

import pytest

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import CATALOGUE
from tests.cluster.commands import CONFIG, new_lake, on
from tests.cluster.conftest import PYTHON, PYTHON_LINE
from tests.cluster.standalone import Cluster
from tests.commands import nightrank

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return new_lake(tmp_path_factory.mktemp("run") / "lake")


@pytest.fixture(scope="module")
def days(lake: Lake) -> list[date]:
    return lake.landing_days("events")


def test_the_doctor_asks_an_executor_of_every_worker(cluster: Cluster, lake: Lake, tmp_path: Path) -> None:
    answer = nightrank(lake, "doctor", "--cluster", *on(cluster, tmp_path / "events"), expect=(0, 1))
    (finding,) = [finding for finding in answer["findings"] if finding["name"] == "cluster_executors"]
    assert finding["status"] == "ok", finding
    assert finding["seen"].startswith("2 on 127.0.0.2, 127.0.0.3: Python 3.11")


def test_the_doctor_and_a_run_name_the_worker_whose_python_lacks_packages(
    cluster: Cluster, tmp_path: Path, days: list[date]
) -> None:
    """Without site-packages there is no pyarrow; the path of the project is still there."""
    lake = new_lake(tmp_path / "lake")
    python = cluster.folder / "bin-127.0.0.3" / PYTHON
    base = Path(sys.base_prefix) / "bin" / "python3.11"
    python.write_text(f'#!/bin/sh\nexec "{base}" -S "$@"\n')
    try:
        answer = nightrank(lake, "doctor", "--cluster", *on(cluster, tmp_path / "events"), expect=(1,))
        found = [finding for finding in answer["findings"] if finding["name"] == "cluster_executors"]
        assert [finding["status"] for finding in found] == ["fail"]
        assert "on 127.0.0.3 lacks pyarrow, numpy, torch" in found[0]["seen"] and "nightrank" not in found[0]["seen"]
        full = ("full", "--as-of", str(days[-3]), *CONFIG, *on(cluster, tmp_path / "events"))
        refused = nightrank(lake, *full, expect=(2,))
    finally:
        python.write_text(PYTHON_LINE)
    assert "on 127.0.0.3 lacks pyarrow, numpy, torch" in refused["error"]["message"], refused["error"]
    assert "127.0.0.2" not in refused["error"]["message"]
    assert [stage["name"] for stage in refused["stages"] if stage["status"] == "done"] == []
    assert all(delta_read.table_version(lake, name) is None for name in CATALOGUE), "nothing was written"
