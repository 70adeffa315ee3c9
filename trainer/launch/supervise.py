"""The launcher's side of the watchdog: watches the ranks' heartbeats, ends them all when one stops, and says who it was."""

import os
import re
import signal
import subprocess
import threading
import time
from typing import IO

from nightrank.feature_store.contracts.errors import StalledError
from nightrank.feature_store.contracts.logs import relay
from nightrank.feature_store.contracts.redaction import redactor
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.beats import gone, kill, take_stack
from nightrank.trainer.launch.blame import LOST, blame, ranks_of, stalled
from nightrank.trainer.launch.first_to_end import FirstToEnd
from nightrank.trainer.ranks.heartbeats import Beat, Heartbeats
from nightrank.trainer.ranks.watchdog import DONE, GRACE

POLL_SECONDS: float = 0.25
PREFIX = re.compile(r"^\[\d+\]<(stdout|stderr)>:\s?")
"""What horovodrun puts before each line of a rank."""


def supervise(command: list[str], environment: dict[str, str], job: Job, rank: int | None = None) -> None:
    """Runs the command until it ends. Raises the ranks' fault, or StalledError naming the rank that hung or was lost.

    `rank`: the command is this rank alone, and the others are started elsewhere; None: it starts all of them.
    """
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    first = FirstToEnd()
    echo = threading.Thread(target=_echo, args=(process.stdout, first), daemon=True)
    echo.start()
    watch = _Watch(job)
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
            watch.look()
    except BaseException:
        _end_all(process, watch.beats())
        raise
    echo.join(timeout=5)
    if process.returncode != 0:
        if rank is not None:
            first.ranks[rank] = process.returncode
        raise blame(watch.beats(), job, process.returncode, first.ranks)


class _Watch:
    """Reads the ranks' heartbeats again and again, and notices the one that stops."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ranks = ranks_of(job)
        self._heartbeats = Heartbeats(job.ranks)
        self._started = time.monotonic()

    def beats(self) -> list[Beat]:
        return self._heartbeats.read()

    def look(self) -> None:
        """StalledError if a rank's heartbeat has stopped, or if a rank never came up."""
        now = time.monotonic()
        config = self._job.config.watchdog
        beats = self.beats()
        for beat in beats:
            silent = self._heartbeats.silent_seconds(beat["rank"])
            if beat["ended"] is None and silent > config.timeout_seconds:
                if any(other["ended"] not in (None, DONE) for other in beats):
                    raise blame(beats, self._job, 0)  # the launcher ends the others when one ends: silence is not their fault
                what = LOST if gone(beat) else f"gave no sign of life for {silent:.0f} s"
                raise stalled(beat, self._ranks, what, take_stack(beat, self._job.ranks))
        if len(beats) < self._ranks and now - self._started > config.startup_seconds * GRACE:
            missing = sorted(set(range(self._ranks)) - {beat["rank"] for beat in beats})
            raise StalledError(
                f"ranks {missing} of {self._ranks} did not come up within {now - self._started:.0f} s",
                "look at the lines above; raise trainer.watchdog.startup_seconds on a slow machine",
            )


def end_leftovers(job: Job) -> None:
    """No worker of an earlier attempt at this run is alive on this machine, and none of its heartbeats is left."""
    kill(Heartbeats(job.ranks).read())
    for path in (*job.ranks.glob("rank-*"), *job.ranks.glob(".environment-*")):
        path.unlink()
    job.ranks.mkdir()


def _end_all(process: "subprocess.Popen[str]", beats: list[Beat]) -> None:
    kill(beats)
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _echo(lines: IO[str], first: FirstToEnd) -> None:
    """The workers' lines to stderr: stdout is for results."""
    redact = redactor()
    for line in lines:
        first.see(line)
        relay(PREFIX.sub("", line), redact)
