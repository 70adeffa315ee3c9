"""A real MLflow server on loopback with a SQL store and an artifact root of its own; it can be killed and started again."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from tests.processes import kill_family

START_SECONDS: Final = 120.0


class MlflowServer:
    def __init__(self, folder: Path, port: int) -> None:
        """What it keeps is in `folder`, so it knows its runs again after a restart."""
        self._folder, self.port = folder, port
        self.uri = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It answers afterwards."""
        store = ("--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db")
        artifacts = ("--artifacts-destination", (self._folder / "artifacts").as_uri(), "--serve-artifacts")
        where = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        with open(self._folder / "server.log", "ab") as log:
            command = [sys.executable, "-m", "mlflow", "server", *store, *artifacts, *where]
            self._process = subprocess.Popen(
                command, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            log_text = (self._folder / "server.log").read_text(errors="replace")[-3000:]
            assert self._process.poll() is None and time.monotonic() < deadline, log_text
            time.sleep(0.3)

    def kill(self) -> None:
        """SIGKILL to it and to its workers."""
        if self._process is None:
            return
        kill_family(self._process.pid)
        self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False
