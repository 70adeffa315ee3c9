"""A table larger than one rank's memory limit: refused on one rank with the way out, trained on two."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.launch import environment_of_workers
from tests.training_jobs import job_of
from tests.training_lake import leave_one_out, synthetic_sequences, write_snapshot

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parents[2]
ITEMS, WIDTH = 200_000, 512
TABLE_MIB = 4 * ITEMS * WIDTH / 2**20
WIDE: dict[str, Any] = {
    "batch_rows": 8,
    "model": {"width": WIDTH, "encoder": {"dropout": 0.0, "blocks": 1, "heads": 2, "expansion": 1}},
    "fit": {"epochs": 1},
    "watchdog": {"timeout_seconds": 300},
    "refit": {"epochs": 1},
    "tables": {"placement": "shard"},
}


def limited(job: Any, ranks: int, mib: int) -> subprocess.CompletedProcess[str]:
    """The job's ranks, each of them under `ulimit -v`."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(ranks)]
    worker = ["--no-python"] if ranks > 1 else []
    command = [sys.executable, *(torchrun + worker if ranks > 1 else [])] if ranks > 1 else []
    script = f"ulimit -v {mib * 1024}; exec {sys.executable} -m nightrank.trainer.worker.main --job {job.path}"
    environment = {**environment_of_workers(job), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    return subprocess.run(
        [*command, "bash", "-c", script + (" --single" if ranks == 1 else "")],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("limited")
    return root, write_snapshot(root, leave_one_out(synthetic_sequences(60, ITEMS)), ITEMS, 60, rows_per_file=20)


@pytest.fixture(scope="module")
def bare(lake) -> int:
    """MiB of address space that a rank takes before it has a table."""
    code = "import nightrank.trainer.worker.session, nightrank.trainer.ranks.torch_world, torch, re, pathlib; "
    code += "torch.ones(8) @ torch.ones(8); "
    code += "print(re.search(r'VmPeak:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    job = job_of(*lake, {"launcher": "torchrun"})
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment_of_workers(job), capture_output=True, text=True
    )
    return int(done.stdout.split()[-1]) // 1024


def test_one_rank_is_refused_with_the_way_out_and_two_train(lake, bare):
    limit = bare + round(3.5 * TABLE_MIB)
    alone = job_of(*lake, {**WIDE, "launcher": "one_process"}, run_id="alone")
    alone.save()
    done = limited(alone, 1, limit)
    assert done.returncode == 2, done.stderr[-2000:]
    fault = read_json(alone.ranks / "rank-0.json")["ended"]["fault"]
    assert "the table of 200,000 items takes 1,562 MiB on each of 1 ranks" in fault["message"]
    assert fault["remedy"].startswith("set trainer.tables.placement=shard and trainer.workers=2")
    both = job_of(*lake, {**WIDE, "launcher": "torchrun", "workers": 2}, run_id="both")
    both.save()
    done = limited(both, 2, limit)
    assert done.returncode == 0, done.stderr[-3000:]
    assert read_json(both.result_path)["training"]["world_size"] == 2
