"""conf/env/secure.yaml on a standalone cluster: who has no secret gets nothing, and nothing readable is on the wire, on the
executors' disks, in an event log or on a command line.
"""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.commands import QUICK, new_lake
from tests.cluster.conftest import ROOT
from tests.cluster.secured import MARK
from tests.cluster.standalone import Cluster
from tests.command_lines import watched_command_lines
from tests.commands import environment, nightrank
from tests.mlflow_server import MlflowServer
from tests.password_door import password_door
from tests.ports import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SECRET = "canary4711-of-the-cluster"
PASSWORD = "canary0815-of-mlflow"
NAME = b"nightrank secured application"
DEFAULTS = {
    "spark.authenticate": "true",
    "spark.authenticate.secret": SECRET,
    "spark.network.crypto.enabled": "true",
    "spark.network.crypto.cipher": "AES/GCM/NoPadding",
    "spark.network.crypto.authEngineVersion": "2",
    "spark.network.crypto.saslFallback": "false",
}


class Wire:
    """A port in front of another, and all that passed through it."""

    def __init__(self, port: int) -> None:
        self._to, self.seen = port, bytearray()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            ours, _ = self._door.accept()
            theirs = socket.create_connection(("127.0.0.1", self._to))
            for source, target in ((ours, theirs), (theirs, ours)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                self.seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one of them is gone, and the other will notice


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    conf, folder = tmp_path_factory.mktemp("conf"), tmp_path_factory.mktemp("secured")
    file = conf / "spark-defaults.conf"
    file.touch(0o600)
    file.write_text("".join(f"{key} {value}\n" for key, value in DEFAULTS.items()))
    disks = folder / "disks"
    disks.mkdir()
    found = Cluster(folder, ROOT, {"SPARK_CONF_DIR": str(conf), "SPARK_LOCAL_DIRS": str(disks)})
    try:
        found.start_master()
        found.start_worker("127.0.0.4")
        yield found
    finally:
        found.stop()


def application(
    cluster: Cluster, port: int, events: Path, secret: str = SECRET, **more: str
) -> subprocess.CompletedProcess[str]:
    events.mkdir(exist_ok=True)
    plain = {"spark.shuffle.compress": "false", "spark.eventLog.compress": "false", "spark.pyspark.python": sys.executable}
    settings = (f"spark.master=spark://127.0.0.1:{port}", f"spark.extra={json.dumps({**QUICK, **plain, **more})}")
    command = [sys.executable, "-m", "tests.cluster.secured", str(cluster.folder / "disks"), *settings]
    variables = {"NIGHTRANK_SPARK_SECRET": secret, "NIGHTRANK_SPARK_EVENTS": events.as_uri(), "PYTHONPATH": str(ROOT)}
    own = {**environment(), **variables}
    return subprocess.run(command, capture_output=True, text=True, env=own, cwd=ROOT, timeout=600, check=False)


def holding(word: str, *folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if word.encode() in path.read_bytes()]


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_job_is_readable_nowhere_and_its_secret_is_in_no_file(secured: Cluster, tmp_path: Path) -> None:
    wire, events = Wire(secured.port), tmp_path / "events"
    with watched_command_lines(SECRET) as shown:
        done = application(secured, wire.port, events)
    found = answer(done)
    assert (found["counted"], found["readable"]) == (400, 0) and found["shuffled"] > 0
    assert b"sparkSaslUser" in wire.seen and NAME not in wire.seen
    assert found["properties"]["spark.authenticate.secret"] == SECRET
    assert shown == set() and SECRET not in done.stderr
    logged = [path for path in events.rglob("*") if path.is_file()]
    assert holding("spark.authenticate.secret", events) and holding(NAME.decode(), events) and logged
    assert holding(SECRET, events, secured.folder) == []


def test_without_encryption_the_same_look_finds_the_rows(secured: Cluster, tmp_path: Path) -> None:
    """Else the test above could pass by looking in the wrong place."""
    done = application(secured, secured.port, tmp_path / "events", **{"spark.io.encryption.enabled": "false"})
    found = answer(done)
    assert found["readable"] > 0, f"{MARK} is not in {found['shuffled']} files"


def test_another_secret_starts_no_application(secured: Cluster, tmp_path: Path) -> None:
    done = application(secured, secured.port, tmp_path / "events", secret="another-secret-0815")
    assert done.returncode != 0 and '"counted"' not in done.stdout
    assert "another-secret-0815" not in done.stderr
    assert holding("SparkListenerApplicationEnd", tmp_path / "events") != []
    assert holding("SparkListenerExecutorAdded", tmp_path / "events") == []


def test_a_full_run_with_an_mlflow_that_asks_for_a_password(secured: Cluster, tmp_path: Path) -> None:
    mlflow, events = MlflowServer(tmp_path, free_port()), tmp_path / "events"
    events.mkdir()
    lake = new_lake(tmp_path / "lake")
    variables = {"NIGHTRANK_SPARK_SECRET": SECRET, "NIGHTRANK_SPARK_EVENTS": events.as_uri()}
    known = {"MLFLOW_TRACKING_USERNAME": "nightrank", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    mlflow.start()
    try:
        with password_door(mlflow.port, "nightrank", PASSWORD) as (port, answers), watched_command_lines(SECRET) as shown:
            extra = {**QUICK, "spark.eventLog.compress": "false", "spark.pyspark.python": sys.executable}
            settings = {"spark.master": secured.master, "spark.extra": json.dumps(extra), "trainer.launcher": "one_process"}
            settings["mlflow.tracking_uri"] = f"http://127.0.0.1:{port}"
            options = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
            words = ("full", "--config", "tiny", "--config", "env/secure", *options)
            refused = nightrank(lake, *words, expect=(2, 8), **variables)
            assert "MLflow" in refused["error"]["message"] and 401 in answers
            result = nightrank(lake, *words, **variables, **known)
    finally:
        mlflow.kill()
    assert (result["status"], result["model"]["version"], shown) == ("done", 1, set())
    assert nightrank(lake, "verify", "--run", result["run_id"], **known)["failed"] == []
    assert holding(NAME.decode().split()[0], events) != []
    assert holding(SECRET, lake.root.path, events, secured.folder) == holding(PASSWORD, tmp_path, secured.folder) == []
