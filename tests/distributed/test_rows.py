"""Tables by row between real ranks, of both backends: the same training as with the whole table on one rank."""

import subprocess
import sys
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.launch import environment_of_workers
from tests.training_jobs import job_of, small_lake

pytestmark = pytest.mark.distributed

PROJECT = Path(__file__).resolve().parents[2]


def started(backend: str, ranks: int) -> list[str]:
    if backend == "horovod":
        command = ["horovod.runner.launch", "--gloo", "-np", str(ranks), "-H", f"localhost:{ranks}", sys.executable]
    else:
        command = ["torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(ranks)]
    return [sys.executable, "-m", *command]


@pytest.mark.parametrize("backend", ["horovod", "torch"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_twenty_steps_give_the_losses_and_weights_of_the_whole_table(tmp_path, backend, ranks):
    launcher = "horovodrun" if backend == "horovod" else "torchrun"
    job = job_of(tmp_path, small_lake(tmp_path, users=20), {"launcher": launcher, "workers": ranks})
    command = [*started(backend, ranks), "-m", "tests.distributed.rows_worker", str(tmp_path / "out.json"), backend]
    done = subprocess.run(command, cwd=PROJECT, env=environment_of_workers(job), timeout=400, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = read_json(tmp_path / "out.json")
    assert [rank["backend"] for rank in told] == [f"{backend}-gloo"] * ranks
    for rank, mine in enumerate(told):
        for case, apart in mine["apart"].items():
            assert apart["loss"] <= 1e-6 and apart["weights"] <= 1e-6, (case, apart)
        sent = 2 if rank < ranks - 1 else 1
        assert mine["counts"] == [sent] * ranks
        assert mine["came"] == [100 * other + 2 * rank + k for other in range(ranks) for k in range(sent)]
