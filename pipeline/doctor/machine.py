"""What a check may look at: environment, home, interpreter, clock, name lookup, and programs it may run.

All of it is a parameter, so a test can hand in a broken machine. Engines are asked in a subprocess, never imported here.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Output:
    """What a program said. `code` is None when it could not be started or did not end in time."""

    code: int | None
    out: str
    err: str


Run = Callable[[Sequence[str], Mapping[str, str]], Output]


def run_program(command: Sequence[str], environ: Mapping[str, str], timeout: float = 90) -> Output:
    try:
        done = subprocess.run(list(command), env=dict(environ), capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Output(None, "", str(error))
    return Output(done.returncode, done.stdout, done.stderr)


def run_patiently(command: Sequence[str], environ: Mapping[str, str]) -> Output:
    return run_program(command, environ, timeout=300)


def resolve_own_name() -> str:
    """The machine's own name, after looking it up; OSError where it does not resolve."""
    name = socket.gethostname()
    socket.getaddrinfo(name, None)
    return name


def spark_home_of_wheel() -> Path | None:
    """The folder of the installed pyspark, found without importing it."""
    spec = importlib.util.find_spec("pyspark")
    return Path(spec.origin).parent if spec and spec.origin else None


@dataclass(frozen=True)
class Machine:
    environ: Mapping[str, str]
    home: Path
    python: str = sys.executable
    run: Run = run_program
    run_on_cluster: Run = run_patiently
    """Waits longer: a busy cluster takes its time to give executors."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    own_name: Callable[[], str] = resolve_own_name
    pyspark: Path | None = field(default_factory=spark_home_of_wheel)

    def spark_home(self) -> Path | None:
        """The Spark that spark-submit starts: SPARK_HOME, else the one inside the pyspark wheel."""
        named = self.environ.get("SPARK_HOME")
        return Path(named) if named else self.pyspark

    def ask_python(self, python: str, program: str) -> tuple[dict[str, Any] | None, str]:
        """The JSON object `program` prints on its last line under `python`, or None and the end of what it said instead."""
        answer = self.run([python, "-c", program], self.environ)
        lines = answer.out.strip().splitlines()
        if answer.code != 0 or not lines:
            printed = (answer.err or answer.out).strip().splitlines()
            ended = "did not start" if answer.code is None else f"ended with {answer.code}"
            return None, f"{ended}: {printed[-1][:200] if printed else 'no output'}"
        result: dict[str, Any] = json.loads(lines[-1])
        return result, ""


def this_machine() -> Machine:
    return Machine(environ=dict(os.environ), home=Path.home())
