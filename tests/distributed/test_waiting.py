"""A rank that waits for another leaves its core to others: to the thread that carries the collective, first of all."""

import subprocess
import sys
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.launch import environment_of_workers
from tests.distributed.test_compression import RUNNERS
from tests.training_jobs import job_of, small_lake

pytestmark = pytest.mark.distributed

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("launcher", list(RUNNERS))
def test_a_waiting_rank_sleeps_in_every_collective(tmp_path, launcher):
    job = job_of(tmp_path, small_lake(tmp_path, users=20), {"launcher": launcher, "workers": 2})
    command = [sys.executable, "-m", *RUNNERS[launcher], "-m", "tests.distributed.waiting_worker"]
    command += [str(tmp_path / "out.json"), launcher]
    subprocess.run(command, check=True, cwd=PROJECT, env=environment_of_workers(job), timeout=240, capture_output=True)
    shares = read_json(tmp_path / "out.json")
    assert set(shares) == {"allreduce", "alltoall", "broadcast", "gather"}
    assert all(share < 0.2 for share in shares.values()), shares
