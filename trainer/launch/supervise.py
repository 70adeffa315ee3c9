"""The launcher's side of the watchdog: watches the ranks' heartbeats, ends them all when one stops, and says who it was."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

from nightrank.feature_store.contracts.errors import NightrankError, StalledError
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.beats import Beat, gone, kill, read_beats, read_stack, take_stack
from nightrank.trainer.ranks.faults import fault_from_json
from nightrank.trainer.ranks.watchdog import DONE, GRACE

POLL_SECONDS: float = 0.25
PREFIX = re.compile(r"^\[\d+\]<(stdout|stderr)>:\s?")
"""What horovodrun puts before each line of a rank."""
FIRST_TO_END = re.compile(r"^Process name: (\d+)\s*$")
"""How horovodrun names the rank that ended first: it kills the others, so heartbeats alone cannot always tell."""

LOST = "was lost (killed from outside, or out of memory)"


def supervise(command: list[str], environment: dict[str, str], job: Job) -> None:
    """Runs the command until it ends. Raises the ranks' fault, or StalledError naming the rank that hung or was lost."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    assert process.stdout is not None
    first: list[int] = []
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
        raise blame(watch.beats(), job, process.returncode, first)


class _Watch:
    """Remembers when each rank's heartbeat last changed, by this process' own clock: hosts' clocks may differ."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ranks = 1 if job.config.launcher == "one_process" else job.config.workers
        self._seen: dict[int, tuple[float, float]] = {}
        self._started = time.monotonic()

    def beats(self) -> list[Beat]:
        return read_beats(self._job.ranks)

    def look(self) -> None:
        """StalledError if a rank's heart has stopped, or if a rank never came up."""
        now = time.monotonic()
        config = self._job.config.watchdog
        beats = self.beats()
        for beat in beats:
            at, _ = self._seen.get(beat["rank"], (None, now))
            if beat["at"] != at:
                self._seen[beat["rank"]] = (beat["at"], now)
            silent = now - self._seen[beat["rank"]][1]
            if beat["ended"] is None and silent > config.timeout_seconds:
                if any(other["ended"] not in (None, DONE) for other in beats):
                    raise blame(beats, self._job, 0)  # the launcher ends the others when one ends: silence is no guilt then
                what = LOST if gone(beat) else f"gave no sign of life for {silent:.0f} s"
                raise stalled(beat, self._ranks, what, take_stack(beat, self._job.ranks))
        if len(beats) < self._ranks and now - self._started > config.startup_seconds * GRACE:
            missing = sorted(set(range(self._ranks)) - {beat["rank"] for beat in beats})
            raise StalledError(
                f"ranks {missing} of {self._ranks} did not come up within {now - self._started:.0f} s",
                "look at the lines above; raise trainer.watchdog.startup_seconds on a slow machine",
            )


def blame(beats: list[Beat], job: Job, code: int, first: Sequence[int] = ()) -> NightrankError:
    """Why the ranks ended: a fault they agreed on, else a rank that hung, else one that was lost without last words.

    `first`: the rank that the launcher says ended first, where it said so.
    """
    size = 1 if job.config.launcher == "one_process" else job.config.workers
    ended = {beat["rank"]: beat["ended"] or {"how": "silent"} for beat in beats}
    by_how: dict[str, list[Beat]] = {}
    for beat in beats:
        by_how.setdefault(ended[beat["rank"]]["how"], []).append(beat)
    if "fault" in by_how:
        return fault_from_json(by_how["fault"][0]["ended"]["fault"])
    if "crashed" in by_how:
        beat = by_how["crashed"][0]
        return NightrankError(
            f"rank {beat['rank']} of {size} ended at step {beat['step']} with {beat['ended']['error']}",
            "its traceback is in the lines above",
        )
    if "ended_itself" in by_how:
        beat = min(by_how["ended_itself"], key=lambda b: (b["waiting_in"] is not None, b["collectives"]))
        return stalled(beat, size, f"was ended: {beat['ended']['why']}", read_stack(job.ranks, beat["rank"]))
    if "silent" in by_how:
        beat = min(by_how["silent"], key=lambda b: (b["rank"] not in first, b["collectives"], b["rank"]))
        return stalled(beat, size, LOST, "")
    return NightrankError(f"the launcher of {size} ranks ended with {code} before any of them came up", "see the lines above")


def stalled(beat: Beat, size: int, what: str, stack: str) -> StalledError:
    where = f"rank {beat['rank']} of {size} on {beat['host']} {what}; its last step was {beat['step']}, doing {beat['doing']}"
    if beat["waiting_in"]:
        where += f", waiting in {beat['waiting_in']}"
    return StalledError(
        where + (f"\n{stack}" if stack else ""), "run the same command again: training goes on from its checkpoint"
    )


def end_leftovers(job: Job) -> None:
    """No worker of an earlier attempt at this run is alive on this machine, and none of its heartbeats is left."""
    beats = read_beats(job.ranks)
    kill(beats)
    for path in job.ranks.glob("rank-*"):
        path.unlink()
    job.ranks.mkdir(parents=True, exist_ok=True)


def _end_all(process: "subprocess.Popen[str]", beats: list[Beat]) -> None:
    kill(beats)
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _echo(lines: IO[str], first: list[int]) -> None:
    """The workers' lines to stderr: stdout is for results. `first` gets the rank the launcher says ended first."""
    for line in lines:
        if named := FIRST_TO_END.match(line):
            first.append(int(named.group(1)))
        print(PREFIX.sub("", line), end="", file=sys.stderr, flush=True)
