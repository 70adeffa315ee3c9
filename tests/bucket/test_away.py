"""A bucket that is away for 30 of the 60 seconds that it is given by default: a write of Spark and a whole run wait for it."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.storage import patience
from tests.bucket.lakes import BUCKET, runs, simulated
from tests.commands import hashes, nightrank
from tests.s3_server import proxy, s3_server, use

pytestmark = [pytest.mark.bucket, pytest.mark.timeout(900)]


def test_a_write_of_spark_waits_for_a_bucket_that_is_away_for_30_seconds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bucket_session", "away"],
        env={**os.environ, patience.VARIABLE: str(patience.DEFAULT_SECONDS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["away"] == {"outcome": "done", "versions": 1, "rows": True, "early": False}, found
    assert 30 < found["seconds"]["away"] < 180


def test_a_run_goes_on_through_30_seconds_without_its_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away twice: while Spark takes the days in, and again while models are trained and measured."""
    disk, options = simulated(tmp_path / "lake", tmp_path)
    expected = hashes(disk, nightrank(disk, *runs(disk, options)[0]))
    monkeypatch.setenv("NIGHTRANK_NODE_CACHE", str(tmp_path / "node_cache"))
    with s3_server(BUCKET) as server, proxy(server) as (port, faults):
        use(monkeypatch, port)
        lake, options = simulated(f"s3://{BUCKET}/away", tmp_path)
        command = runs(lake, options)[0]
        run_id = f"full-{command[2]}"

        def away(after: str) -> None:
            marker = f"{run_id}/stages/{after}.json"
            while not any(line.startswith("PUT") and marker in line for line in list(faults.seen)):
                time.sleep(0.2)
            faults.method, faults.refuse = "", 1_000_000
            time.sleep(30)
            faults.refuse = 0

        absent = threading.Thread(target=lambda: [away(stage) for stage in ("check_day", "build_training_set")], daemon=True)
        absent.start()
        assert hashes(lake, nightrank(lake, *command)) == expected
        assert not absent.is_alive(), "it was away twice"
