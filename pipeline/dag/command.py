"""One `nightrank` command as a process of a Python that has nightrank's own packages, which Airflow's does not. Stdlib only."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

GRACE_SECONDS: Final = 45.0
"""What nightrank gets to end its own processes, before it is killed: it gives them 15 seconds."""
HIDDEN: Final = ("AIRFLOW__", "AIRFLOW_VAR_", "AIRFLOW_CONN_", "_AIRFLOW", "__AIRFLOW")
"""Airflow's own settings, its secrets among them: the command has no use for them."""


@dataclass(frozen=True)
class Answer:
    """How a command ended, and the JSON object that it printed ({} where it printed none)."""

    code: int
    body: dict[str, Any]


class Command:
    """A running command. It and what it started form a process group, which `end` ends."""

    def __init__(self, python: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """FileNotFoundError if there is no such Python."""
        self._answer = tempfile.TemporaryFile()  # noqa: SIM115  (a grandchild may hold a pipe open)
        self._process = subprocess.Popen(
            [python, "-P", "-m", "nightrank.pipeline.cli", *words, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=self._answer,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**_inherited(), **(environment or {})},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, on_line: Callable[[str], object]) -> Answer:
        """Its answer. Each line that it says meanwhile goes to `on_line`. If this is interrupted, the command is ended."""
        reader = threading.Thread(target=self._relay, args=(on_line,), daemon=True)
        reader.start()
        try:
            code = self._process.wait()
        finally:
            self.end()
        reader.join(2)  # a grandchild may hold the pipe open; its words do not matter any more
        self._answer.seek(0)
        return Answer(code, _object(self._answer.read()))

    def end(self) -> None:
        """After return the process group is gone: nightrank ends its stages on SIGTERM; what is left is killed."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _relay(self, on_line: Callable[[str], object]) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            on_line(line.rstrip("\n"))


def _inherited() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _object(printed: bytes) -> dict[str, Any]:
    try:
        body = json.loads(printed)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
