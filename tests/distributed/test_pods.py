"""Launcher `pods`: two processes that share a lake and a port. They equal two ranks of horovodrun, and are lost together."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nightrank.feature_store.contracts.files import read_json
from tests.ports import free_port
from tests.training_jobs import SMALL, small_lake
from tests.training_lake import write_run

pytestmark = pytest.mark.distributed

TWO = {**SMALL, "workers": 2, "threads_per_worker": 1, "batch_rows": 16, "checkpoint": {"every_steps": 4}}
ENDLESS = {"fit": {"epochs": 100_000, "learning_rate": 1e-3}, "validation": {"every_epochs": 1000}}
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


def started(*command: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=PROJECT,
        env={**os.environ, "JOB_COMPLETION_INDEX": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def pods(run_dir: Path, port: int, *options: str) -> list[subprocess.Popen]:
    """The pod of rank 0, and that of rank 1, which is up before there is a training."""
    other = started("nightrank.pipeline.cli", "join", "--at", f"127.0.0.1:{port}", "--wait-seconds", "120", *options)
    return [started("nightrank.trainer.stages.train", "--run-dir", str(run_dir)), other]


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    answer, errors = process.communicate(timeout=240)
    return process.returncode, answer, errors


def step_of(run_dir: Path, rank: int, processes: list[subprocess.Popen]) -> int:
    """The pid of a rank that has taken a few steps."""
    path = run_dir / "train" / "ranks" / f"rank-{rank}.json"
    for _ in range(1200):
        assert all(process.poll() is None for process in processes), [ended(process) for process in processes]
        if path.exists() and (body := read_json(path))["step"] > 3:
            return int(body["pid"])
        time.sleep(0.1)
    raise AssertionError("the rank took no step within two minutes")


def test_two_pods_make_the_bundle_of_two_local_ranks(lake):
    root, snapshot = lake
    local = write_run(root, "local", snapshot, {"trainer": {**TWO, "launcher": "horovodrun"}})
    code, _, errors = ended(started("nightrank.trainer.stages.train", "--run-dir", str(local)))
    assert code == 0, errors
    port = free_port()
    apart = write_run(root, "apart", snapshot, {"trainer": {**TWO, "launcher": "pods", "rendezvous_port": port}})
    first, other = pods(apart, port, "--json")
    code, _, errors = ended(first)
    assert code == 0, errors
    code, answer, errors = ended(other)
    assert code == 0 and '"run_id": "apart"' in answer, errors
    one, two = (read_json(run / "stages" / "train.json")["output"] for run in (local, apart))
    assert two["training"]["launcher"] == "pods"
    assert (two["training"]["world_size"], two["training"]["rows_read"]) == (2, one["training"]["rows_read"])
    assert two["model_files"]["live"] == one["model_files"]["live"]
    assert two["model_files"]["measured"] == one["model_files"]["measured"]
    assert two["curves"] == one["curves"]


def is_alive(pid: int) -> bool:
    """One that has ended and that nobody waited for, because its pod was killed first, is not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("what", ["worker", "pod"])
def test_a_lost_rank_or_pod_ends_the_others_with_6_and_its_name(lake, lost, what):
    root, snapshot = lake
    port, name = free_port(), f"lost-{what}-{lost}"
    watchdog = {"timeout_seconds": 5, "beat_seconds": 0.2}
    config = {**TWO, **ENDLESS, "launcher": "pods", "rendezvous_port": port, "watchdog": watchdog}
    run_dir = write_run(root, name, snapshot, {"trainer": config})
    processes = pods(run_dir, port)
    workers = [step_of(run_dir, rank, processes) for rank in (0, 1)]
    os.kill(workers[lost], signal.SIGKILL)
    if what == "pod":
        os.killpg(processes[lost].pid, signal.SIGKILL)
    for rank, process in enumerate(processes):
        code, _, errors = ended(process)
        if rank == lost and what == "pod":
            assert code == -signal.SIGKILL
        else:
            assert code == 6, errors
            assert f"rank {lost} of 2" in errors and "was lost" in errors
    assert [pid for pid in workers if is_alive(pid)] == []


def test_a_pod_that_is_started_again_resumes_the_training(lake):
    root, snapshot = lake
    port = free_port()
    config = {**TWO, "fit": {"epochs": 40, "learning_rate": 1e-3}, "launcher": "pods", "rendezvous_port": port}
    run_dir = write_run(root, "again", snapshot, {"trainer": config})
    processes = pods(run_dir, port)
    os.kill(step_of(run_dir, 1, processes), signal.SIGKILL)
    assert [ended(process)[0] for process in processes] == [6, 6]
    again = pods(run_dir, port)
    assert [ended(process)[0] for process in again] == [0, 0]
    assert read_json(run_dir / "stages" / "train.json")["output"]["training"]["resumed_from"] is not None
