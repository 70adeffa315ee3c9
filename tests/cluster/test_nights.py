"""A full run and two nights on a cluster with a lake in a bucket and an MLflow server, through losses of each part: the content
is that of undisturbed runs on this machine's disk.
"""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from nightrank.feature_store.contracts.lake import Lake
from tests.bucket.lakes import BUCKET, on_a_disk, runs
from tests.cluster.commands import applications, on
from tests.cluster.conftest import ROOT, WORKERS, start_worker
from tests.cluster.standalone import Cluster
from tests.commands import command, environment, hashes, nightrank
from tests.mlflow_server import MlflowServer
from tests.ports import free_port
from tests.processes import kill_family
from tests.s3_server import Faults, proxy, s3_server, use

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
TWO_RANKS = ("--set", "trainer.workers=2")
WAIT_SECONDS = 1200.0


@dataclass
class Stack:
    cluster: Cluster
    faults: Faults
    mlflow: MlflowServer
    events: Path
    options: tuple[str, ...]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An S3 server behind a proxy, an MLflow server, a master and two workers, whose executors reach both."""
    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch, s3_server(BUCKET) as s3, proxy(s3) as (port, faults):
        use(patch, port)
        patch.setenv("NIGHTRANK_NODE_CACHE", str(folder / "node_cache"))
        mlflow, cluster = MlflowServer(folder, free_port()), Cluster(folder / "cluster", ROOT)
        try:
            mlflow.start()
            cluster.start_master()
            for host in WORKERS:
                start_worker(cluster, host)
            events = folder / "events"
            tracking = ("--set", f"mlflow.tracking_uri={mlflow.uri}")
            yield Stack(cluster, faults, mlflow, events, ("--config", "tiny", *TWO_RANKS, *tracking, *on(cluster, events)))
        finally:
            cluster.stop()
            mlflow.kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """What the same three runs leave on this machine alone, with two ranks of horovodrun."""
    return on_a_disk(tmp_path_factory.mktemp("disk"), *TWO_RANKS)[1]


@pytest.fixture(scope="module")
def lake(stack: Stack) -> Lake:
    found = Lake(f"s3://{BUCKET}/cluster")
    nightrank(found, "simulate", "--preset", "tiny")
    return found


def test_a_full_run_loses_its_driver_a_rank_mlflow_and_the_bucket_and_ends_in_the_same_content(
    stack: Stack, lake: Lake, undisturbed: list[dict[str, str]]
) -> None:
    """Four attempts of one command, with ranks on the executors of both workers. The last one waits for the bucket."""
    words = full_run(stack, lake)
    folder = lake.run_dir(f"full-{words[2]}")
    with started(lake, words) as run:
        run.until(lambda: (folder / "stages" / "ingest_events.json").exists())
        run.kill_driver()
    with started(lake, words) as run:
        run.until(lambda: bool(ranks()))
        ranks()[0].kill()
        assert run.code() == 6
    stack.mlflow.kill()
    assert nightrank(lake, *words, expect=8)["error"]
    stack.mlflow.start()
    with started(lake, words) as run:
        run.until(lambda: (folder / "stages" / "gate.json").exists())
        away_for(stack.faults, 30)
        assert run.code() == 0, run.errors()
        ended = run.result()
    assert hashes(lake, ended) == undisturbed[0]
    hosts = applications(stack.events, repeated=True)
    assert all(found == set(WORKERS) for name, found in hosts.items() if "train" in name), hosts


def test_two_nights_end_in_the_same_content_on_one_application_before_and_one_after_training(
    stack: Stack, lake: Lake, undisturbed: list[dict[str, str]]
) -> None:
    nightrank(lake, *full_run(stack, lake))
    before = set(applications(stack.events, repeated=True))
    for night, content in zip(runs(lake, stack.options)[1:], undisturbed[1:], strict=True):
        result = nightrank(lake, *night, expect=(0, 7))
        assert hashes(lake, result) == content
        assert nightrank(lake, "verify", "--run", result["run_id"])["failed"] == []
    found = {name: hosts for name, hosts in applications(stack.events, repeated=True).items() if name not in before}
    assert len(found) == 4 and all(hosts == set(WORKERS) for hosts in found.values()), found


def test_of_two_drivers_of_one_date_one_commits(stack: Stack, lake: Lake) -> None:
    nightrank(lake, *full_run(stack, lake))
    night = lake.landing_days("events")[-1]
    words = command(lake, "nightly", "--date", str(night), *stack.options)
    both = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True) for _ in range(2)
    ]
    ended = [json.loads(process.communicate(timeout=WAIT_SECONDS)[0]) for process in both]
    codes = sorted(result["exit_code"] for result in ended)
    assert codes in ([0, 5], [5, 7]), [result["error"] for result in ended]
    assert nightrank(lake, "verify", "--run", f"nightly-{night}")["failed"] == []


def full_run(stack: Stack, lake: Lake) -> tuple[str, ...]:
    """Its command; where it is done already, that is all it finds."""
    return (*runs(lake, stack.options)[0], "--set", "trainer.launcher=spark")


class Run:
    """A command in the background, with what it printed."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self._out, self._errors = folder / "out", folder / "errors"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(words, stdout=out, stderr=errors, env=environment(), start_new_session=True)

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not true():
            assert self._process.poll() is None and time.monotonic() < deadline, self.errors()
            time.sleep(0.2)

    def code(self) -> int:
        return self._process.wait(WAIT_SECONDS)

    def kill_driver(self) -> None:
        """SIGKILL to the command and to the drivers that it started."""
        kill_family(self._process.pid)
        self._process.wait()

    def result(self) -> dict[str, Any]:
        """The object that it printed."""
        body: dict[str, Any] = json.loads(self._out.read_text())
        return body

    def errors(self) -> str:
        return self._errors.read_text()[-6000:]


@contextmanager
def started(lake: Lake, words: tuple[str, ...]) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        run = Run(command(lake, *words), Path(folder))
        try:
            yield run
        finally:
            run.kill_driver()


def ranks() -> list[psutil.Process]:
    """Horovod's ranks on the executors."""
    found = [process for process in psutil.process_iter(["cmdline"]) if "horovod.spark.task.gloo_exec_fn" in _words(process)]
    return [process for process in found if not process.children()]


def _words(process: psutil.Process) -> list[str]:
    return process.info["cmdline"] or []


def away_for(faults: Faults, seconds: float) -> None:
    """The server answers 503 to everything for so long."""
    faults.method, faults.refuse = "", 1_000_000
    back = threading.Timer(seconds, lambda: setattr(faults, "refuse", 0))
    back.start()
    back.join()
    faults.method = "PUT"
