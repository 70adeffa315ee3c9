"""Gradients as fp16 between two real ranks."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.launch import environment_of_workers
from tests.distributed.lossy_worker import VALUES
from tests.training_jobs import job_of, small_lake

pytestmark = pytest.mark.distributed

PROJECT = Path(__file__).resolve().parents[2]


def test_a_sum_in_fp16_does_not_overflow_and_is_the_same_on_both_ranks(tmp_path):
    job = job_of(tmp_path, small_lake(tmp_path, users=20), {"launcher": "horovodrun", "workers": 2})
    runner = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2", sys.executable]
    command = [*runner, "-m", "tests.distributed.lossy_worker", str(tmp_path / "out.json")]
    subprocess.run(command, check=True, cwd=PROJECT, env=environment_of_workers(job), timeout=240, capture_output=True)
    first, second = read_json(tmp_path / "out.json")
    assert first["cores"] == second["cores"] == 2
    for value in VALUES[:-1]:
        lossy, exact = first[str(value)]
        assert lossy == second[str(value)][0]
        assert lossy[:3] == pytest.approx([2 * value, -2 * value, value / 2], rel=2**-10)
        assert exact == pytest.approx([2 * value, 1.0], rel=1e-6)
    assert math.isnan(first["nan"][0][0])
