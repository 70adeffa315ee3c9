"""Spark and Delta on a bucket that is away for 30 of the 60 seconds that it is given by default: the write waits for it."""

import json
import os
import subprocess
import sys

import pytest

from nightrank.feature_store.contracts.storage import patience

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
    assert 30 < found["seconds"]["away"] < 90
