"""Putting a run of another host to sleep, taking its lake over, and waking it."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts.lake import Lake


@contextmanager
def asleep(lake: Lake, what: str, where: str):
    """A really stopped process (SIGSTOP) that holds the lease; killed in the end, with all it started."""
    command = [sys.executable, "-m", "tests.fence_worker", str(lake.root), what, where]
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    try:
        wait_until_stopped(process)
        yield process
    finally:
        if process.poll() is None:
            for each in [*process.children(recursive=True), process]:
                each.kill()
            process.communicate()


def wait_until_stopped(process: psutil.Popen) -> None:
    """It has stopped itself by SIGSTOP."""
    until = time.monotonic() + 120
    while process.status() != psutil.STATUS_STOPPED:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)


def take_over(lake: Lake, monkeypatch, commit_seconds: float = 1.0):
    """The lease, taken as from another machine that hears nothing of the sleeper."""
    monkeypatch.setattr("nightrank.feature_store.contracts.process.this_machine", lambda: "another machine")
    return leases.acquire(lake, "newer", silent_seconds=0.3, commit_seconds=commit_seconds)


def wake(process) -> str:
    """Its last line."""
    process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=120)
    assert out.strip(), err
    return out.strip().splitlines()[-1]
