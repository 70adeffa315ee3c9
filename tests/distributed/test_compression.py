"""Gradients in 16 bits between two real ranks, of both backends."""

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


RUNNERS = {
    "horovodrun": ["horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2", sys.executable],
    "torchrun": ["torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"],
}


@pytest.mark.parametrize(
    ("launcher", "compression", "digits"),
    [("horovodrun", "fp16", 2**-10), ("torchrun", "fp16", 2**-10), ("torchrun", "bf16", 2**-7)],
)
def test_a_sum_in_16_bits_does_not_overflow_and_is_the_same_on_both_ranks(tmp_path, launcher, compression, digits):
    job = job_of(tmp_path, small_lake(tmp_path, users=20), {"launcher": launcher, "workers": 2})
    command = [sys.executable, "-m", *RUNNERS[launcher], "-m", "tests.distributed.lossy_worker"]
    command += [str(tmp_path / "out.json"), launcher, compression]
    subprocess.run(command, check=True, cwd=PROJECT, env=environment_of_workers(job), timeout=240, capture_output=True)
    first, second = read_json(tmp_path / "out.json")
    assert first["cores"] == second["cores"] == 2
    for value in VALUES[:-1]:
        lossy, exact = first[str(value)]
        assert lossy == second[str(value)][0]
        assert lossy[:3] == pytest.approx([2 * value, -2 * value, value / 2], rel=digits)
        assert exact == pytest.approx([2 * value, 1.0], rel=1e-6)
    assert math.isnan(first["nan"][0][0])
