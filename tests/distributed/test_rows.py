"""Tables by row between real ranks, of both backends: the same training as with the whole table on one rank."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.storage import locate
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
@pytest.mark.parametrize("ranks", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)])
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


def in_world(launcher: str, ranks: int, root: Path, snapshot: Path, out: Path) -> list[tuple[int, dict[str, Any]]]:
    """What every rank of that world found: its size and what it holds."""
    job = job_of(root, load_snapshot(locate(snapshot)), {"launcher": launcher, "workers": ranks})
    command = [sys.executable] if ranks == 1 else started("horovod" if launcher == "horovodrun" else "torch", ranks)
    arguments = [str(root), str(snapshot), launcher, str(out)]
    done = subprocess.run(
        [*command, "-m", "tests.distributed.checkpoint_worker", *arguments],
        cwd=PROJECT,
        env=environment_of_workers(job),
        timeout=240,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return read_json(out)


@pytest.mark.parametrize("launcher", ["horovodrun", "torchrun"])
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_checkpoint_goes_from_two_real_ranks_to_one_and_back(tmp_path, launcher, before, after):
    made = small_lake(tmp_path, users=120)
    snapshot = tmp_path / "snapshots" / f"{made.id}.json"
    names = {1: "one_process", 2: launcher}
    saved = in_world(names[before], before, tmp_path, snapshot, tmp_path / "saved.json")
    resumed = in_world(names[after], after, tmp_path, snapshot, tmp_path / "resumed.json")
    assert [size for size, _ in saved] == [before] * before
    assert [size for size, _ in resumed] == [after] * after
    assert all(held == saved[0][1] for _, held in [*saved, *resumed])
    assert any(any(row) for row in saved[0][1]["exp_avg"])
