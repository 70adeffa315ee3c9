"""Child processes of a run: started in groups of their own, listened to, and ended with everything they started."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import psutil

from nightrank import IMPORT_PATH
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.environment import for_stages
from nightrank.feature_store.contracts.logs import RUN_DIR
from nightrank.feature_store.contracts.secret_settings import environment_of
from nightrank.feature_store.contracts.stage import FENCE
from nightrank.feature_store.contracts.storage import Location
from nightrank.trainer.config.training import TrainerConfig

GRACE_SECONDS: Final = 15.0


class Child:
    """One stage process. Its output goes line by line to `on_line`, which files it."""

    def __init__(
        self,
        command: tuple[str, ...],
        run_dir: Location,
        on_line: Callable[[str], None],
        fence: int = 0,
        config: Configuration | None = None,
    ) -> None:
        """`config`: the run's, whose secrets its files do not keep."""
        self._fence = fence
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment(run_dir, fence, config or Configuration.from_run({})),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        """The exit code (negative: the signal that ended it), or None if it is still running after `seconds`."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._reader.join(2)  # a grandchild may hold the pipe open; its words do not matter any more
        return code

    def end(self, run_dir: Location) -> None:
        """After return neither it nor anything it started is running."""
        end_processes(run_dir, self._fence)
        self._process.wait()
        self._reader.join(2)

    def _read(self, on_line: Callable[[str], None]) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            on_line(line)


def environment(run_dir: Location, fence: int, config: Configuration) -> Mapping[str, str]:
    """The environment of a stage: ours without the secrets of other programs, the run, its fence and its secrets, and the
    packages' folder where Python looks."""
    names = config.section("trainer", TrainerConfig).environment
    path = os.pathsep.join(filter(None, [str(IMPORT_PATH), os.environ.get("PYTHONPATH", "")]))
    python = {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
    run = {"PYTHONPATH": path, RUN_DIR: str(run_dir), FENCE: str(fence) if fence else ""}
    return {**python, **for_stages(os.environ, names), **run, **environment_of(config.tree)}


def end_processes(run_dir: Location, fence: int = 0, grace_seconds: float = GRACE_SECONDS) -> int:
    """Ends what this run started and is still there: SIGTERM, and SIGKILL after the grace. How many there were.

    With a fence, what was started under it: other tasks of an open run continue.
    """
    found = _marked(run_dir, fence)
    _signal(found, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while (left := _marked(run_dir, fence)) and time.monotonic() < deadline:
        time.sleep(0.1)
    while left:
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)
        left = _marked(run_dir, fence)
    return len(found)


def _marked(run_dir: Location, fence: int) -> list[psutil.Process]:
    marks = {RUN_DIR: str(run_dir), **({FENCE: str(fence)} if fence else {})}
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _is_marked(process, marks)]


def _is_marked(process: psutil.Process, marks: Mapping[str, str]) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and marks.items() <= process.environ().items()
    except psutil.Error:  # gone, or another user's: not ours
        return False


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
