"""A Spark standalone cluster from the pyspark wheel: a master and workers as processes, each worker with a loopback address."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil
import pyspark

from tests.ports import free_port
from tests.processes import kill_family

SPARK_HOME: Final = Path(pyspark.__file__).parent
CLASSES: Final = "org.apache.spark.deploy"
START_SECONDS: Final = 120.0


class Cluster:
    """Processes of a master and its workers. A worker is known by its address."""

    def __init__(self, folder: Path, import_path: Path, environ: Mapping[str, str] | None = None) -> None:
        """Logs and work folders lie in `folder`; executors import the project from `import_path`.

        `environ` is that of the master and of every worker.
        """
        self.folder, self.import_path, self.environ = folder, import_path, environ or {}
        self.port = free_port()
        self.master = f"spark://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_master(self) -> None:
        web = ("--webui-port", str(free_port()))
        self._start("127.0.0.1", "master.Master", ("--port", str(self.port), *web))
        self._wait_for("127.0.0.1", "New state: ALIVE")

    def start_worker(self, host: str, **environ: str) -> None:
        """One core, which is what one executor takes. `environ` is the worker's, and with it its executors'."""
        work = ("-c", "1", "-m", "1300m", "-d", str(self.folder / f"work-{host}"), "--webui-port", str(free_port(host)))
        self._start(host, "worker.Worker", (*work, self.master), environ)
        self._wait_for(host, "Successfully registered with master")

    def executors(self, host: str | None = None) -> list[psutil.Process]:
        """The executors' JVMs, of one worker or of all."""
        workers = [self._processes[host]] if host else list(self._processes.values())
        found = [child for worker in workers for child in psutil.Process(worker.pid).children(recursive=True)]
        return [process for process in found if "CoarseGrainedExecutorBackend" in " ".join(_words(process))]

    def has(self, host: str) -> bool:
        return host in self._processes

    def kill_worker(self, host: str) -> None:
        """SIGKILL to the worker and to all it started: the machine is gone."""
        process = self._processes.pop(host)
        kill_family(process.pid)
        process.wait()

    def stop(self) -> None:
        for host in sorted(self._processes, reverse=True):
            self.kill_worker(host)

    def _start(self, host: str, part: str, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        own = {
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_LOCAL_IP": host,
            "SPARK_NO_DAEMONIZE": "1",
            "SPARK_DAEMON_MEMORY": "256m",
            "PYTHONPATH": str(self.import_path),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"{CLASSES}.{part}", "--host", host, *arguments]
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self._log(host), "wb") as log:
            self._processes[host] = subprocess.Popen(
                command,
                env={**os.environ, **own, **self.environ, **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait_for(self, host: str, words: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while words not in self._log(host).read_text(errors="replace"):
            if self._processes[host].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{host} did not start:\n{self._log(host).read_text(errors='replace')[-3000:]}")
            time.sleep(0.2)

    def _log(self, host: str) -> Path:
        return self.folder / f"{host}.log"


def _words(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # gone meanwhile
        return []
