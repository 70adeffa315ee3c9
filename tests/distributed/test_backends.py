"""Two backends and two readers, held to one contract: the same training, and the same end of every fault."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store.contracts.config import overlay
from nightrank.feature_store.contracts.errors import DataContractError, NightrankError, StalledError
from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch import launch
from tests.training_jobs import SMALL, job_of, small_lake

pytestmark = pytest.mark.distributed

LAUNCHER = {"horovod": "horovodrun", "torch": "torchrun"}
PAIRS = [(backend, reader) for backend in LAUNCHER for reader in ("petastorm", "arrow")]
TWO = {**SMALL, "workers": 2, "threads_per_worker": 1, "batch_rows": 16, "fit": {"epochs": 2, "learning_rate": 3e-3}}
ENDLESS = {"fit": {"epochs": 100_000}, "validation": {"every_epochs": 1000}, "checkpoint": {"every_seconds": 600}}
QUICK = {"watchdog": {"timeout_seconds": 5, "startup_seconds": 120, "beat_seconds": 0.2}}


@dataclass(frozen=True)
class Pair:
    """Starts trainings of one backend with one reader."""

    backend: str
    reader: str
    root: Path
    snapshot: Any

    def job(self, name: str, *changes: dict[str, Any]) -> Job:
        settings = {**TWO, "launcher": LAUNCHER[self.backend], "backend": self.backend, "reader": self.reader}
        for change in changes:
            settings = overlay(settings, change)
        job = job_of(self.root, self.snapshot, settings, run_id=f"{name}-{self.backend}-{self.reader}")
        job.save()
        return job

    def fault(self, job: Job, do: "Fault | None" = None) -> NightrankError:
        """What the training ends with, after `do` was done to one of its ranks."""
        if do is not None:
            threading.Thread(target=do, args=(job,), daemon=True).start()
        with pytest.raises(NightrankError) as raised:
            launch(job)
        return raised.value


@dataclass(frozen=True)
class Fault:
    """Sends a signal to rank 1 once both ranks have taken a few steps."""

    sent: signal.Signals

    def __call__(self, job: Job) -> None:
        os.kill([worker_of(job, rank) for rank in (0, 1)][1], self.sent)


def worker_of(job: Job, rank: int) -> int:
    """The pid of a rank that has taken a few steps."""
    path = job.ranks / f"rank-{rank}.json"
    for _ in range(1200):
        if path.exists() and (body := read_json(path))["step"] > 3:
            return int(body["pid"])
        time.sleep(0.1)
    raise AssertionError("the rank took no step within two minutes")


def ended(job: Job) -> bool:
    """No rank of the job lives."""
    pids = [read_json(path)["pid"] for path in job.ranks.glob("rank-*.json")]
    return len(pids) == 2 and not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request, lake):
    return Pair(*request.param, *lake)


@pytest.fixture(scope="module")
def trained(lake):
    """The result of a whole training, by pair."""
    made = {}
    for backend, reader in PAIRS:
        job = Pair(backend, reader, *lake).job("whole")
        launch(job)
        made[backend, reader] = read_json(job.result_path)
    return made


def test_all_pairs_read_every_row_once_an_epoch_in_as_many_steps(lake, trained):
    _, snapshot = lake
    for (backend, reader), result in trained.items():
        training = result["training"]
        assert (training["backend"], training["reader"]) == (f"{backend}-gloo", reader)
        assert training["world_size"] == 2 and training["dropped"] == 0
        assert training["steps"][0] == training["steps"][1]
        refit = snapshot.rows("refit")
        assert sum(training["rows_read"]) >= 2 * snapshot.rows("train") + refit
    assert len({(*r["training"]["steps"], *r["training"]["rows_read"]) for r in trained.values()}) == 1


def test_all_pairs_have_the_same_loss_at_every_step(trained):
    first, *others = trained.values()
    assert len(first["curves"]["fit"]["loss"]) == 20
    for other in others:
        for phase, curve in first["curves"].items():
            assert other["curves"][phase]["loss"] == pytest.approx(curve["loss"], abs=1e-6)
            for mine, theirs in zip(curve["valid"], other["curves"][phase]["valid"], strict=True):
                assert theirs == pytest.approx(mine, abs=1e-6)


def test_a_file_that_one_rank_cannot_read_ends_all_with_its_fault(pair, tmp_path):
    snapshot = small_lake(tmp_path)
    torn = Pair(pair.backend, pair.reader, tmp_path, snapshot)
    job = torn.job("torn")
    sorted((tmp_path / "tables" / "examples_train").iterdir())[0].unlink()
    fault = torn.fault(job)
    assert isinstance(fault, DataContractError) and fault.exit_code == 4
    assert "part-00000.parquet" in fault.message
    assert [read_json(path)["ended"]["how"] for path in job.ranks.glob("rank-*.json")] == ["fault", "fault"]
    assert ended(job)


def test_a_killed_rank_ends_the_training_with_6_and_its_name(pair):
    job = pair.job("killed", ENDLESS, QUICK)
    fault = pair.fault(job, Fault(signal.SIGKILL))
    assert isinstance(fault, StalledError) and fault.exit_code == 6
    assert fault.message.startswith("rank 1 of 2") and "was lost" in fault.message
    assert ended(job)


def test_a_stopped_rank_is_ended_by_the_watchdog_with_6_and_its_stack(pair):
    job = pair.job("stopped", ENDLESS, QUICK)
    fault = pair.fault(job, Fault(signal.SIGSTOP))
    assert isinstance(fault, StalledError) and fault.exit_code == 6
    assert fault.message.startswith("rank 1 of 2") and "gave no sign of life" in fault.message
    assert "hread 0x" in fault.message
    assert ended(job)


@pytest.mark.parametrize("backend", list(LAUNCHER))
def test_bf16_weights_and_ranks_that_meet_now_and_then_train_on_both_backends(lake, trained, backend):
    two = Pair(backend, "arrow", *lake)
    plain = trained[backend, "arrow"]["curves"]["fit"]["loss"]
    half = two.job("half", {"precision": "bf16", "optimizer": {"name": "anyprecision_adamw"}})
    slow = two.job("slow", {"slowmo": {"every": 5, "momentum": 0.2}})
    for job in (half, slow):
        launch(job)
        result = read_json(job.result_path)
        loss = result["curves"]["fit"]["loss"]
        assert result["training"]["rows_read"] == trained[backend, "arrow"]["training"]["rows_read"]
        assert loss[-1] == pytest.approx(plain[-1], rel=0.05) and loss[-1] < loss[0]
