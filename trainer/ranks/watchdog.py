"""A rank that stops moving is named and ended, with its stack. Horovod's own stall inspector never fires under Gloo.

Inside each rank: `Progress` records every step and every collective; the `Heartbeat` thread writes it to a small file once
a second, where the launcher reads it (`launch.supervise`), and ends the process if it is this rank that hangs.
A process whose interpreter is blocked or that is stopped beats no more; that is for the launcher to see.
"""

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from nightrank.feature_store.contracts.errors import NightrankError, StalledError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.process import ProcessId, this_process
from nightrank.feature_store.contracts.storage import Location, workplace
from nightrank.trainer.config.training import WatchdogConfig
from nightrank.trainer.ranks.heartbeats import Peers

GRACE: float = 1.5
"""A rank that waits for others outlasts the one that hangs by this factor, so that the guilty one is named first."""

DONE: dict[str, Any] = {"how": "done"}
"""How a finished rank ended."""

LAST_WORDS: int = 10
"""How often a rank tries to write how it ended."""


class Progress:
    """What a rank did last. Written by the main thread, read by the heartbeat's; each field is one atomic assignment."""

    def __init__(self) -> None:
        self.step = 0
        self.doing = "starting"
        self.collectives = 0
        self.waiting_in: str | None = None
        self.moved_at = time.monotonic()

    def moved(self, doing: str, step: int | None = None) -> None:
        self.doing = doing
        self.step = self.step if step is None else step
        self.moved_at = time.monotonic()

    @contextmanager
    def during(self, doing: str) -> Iterator[None]:
        """Inside, this rank does something beside its steps, such as saving; beginning and ending it is progress."""
        before = self.doing
        self.moved(doing)
        try:
            yield
        finally:
            self.moved(before)

    @contextmanager
    def waiting(self, collective: str) -> Iterator[None]:
        """Inside, this rank waits for the others: standing still is not its fault."""
        self.waiting_in = collective
        try:
            yield
        finally:
            self.waiting_in = None
        self.collectives += 1
        self.moved_at = time.monotonic()


class Heartbeat:
    """The thread that beats. `start` after the rank is known; `stop` leaves `how` it ended in the heartbeat file."""

    def __init__(self, folder: Location, rank: int, progress: Progress, config: WatchdogConfig, launcher: ProcessId) -> None:
        self.path = folder / f"rank-{rank}.json"
        self.stack_path = workplace(folder) / f"rank-{rank}.stack.txt"
        self.rank = rank
        self._progress = progress
        self._config = config
        self._launcher = launcher
        self._peers = Peers(self.path, config.timeout_seconds)
        self._unwritten = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)
        self._stack: TextIO | None = None
        self._process = this_process()

    def start(self) -> None:
        """Beats from now on; SIGUSR1 writes all stacks to `rank-N.stack.txt`, whatever the interpreter is doing."""
        self.stack_path.parent.mkdir(parents=True, exist_ok=True)
        self._stack = open(self.stack_path, "w")  # noqa: SIM115 - faulthandler keeps its file descriptor
        faulthandler.register(signal.SIGUSR1, file=self._stack, all_threads=True)
        self._try_to_beat(None, LAST_WORDS)
        self._thread.start()

    def stop(self, ended: dict[str, Any]) -> None:
        self._stopped.set()
        self._thread.join()
        self._try_to_beat(ended, LAST_WORDS)
        faulthandler.unregister(signal.SIGUSR1)
        if self._stack is not None:
            self._stack.close()

    def _live(self) -> None:
        while not self._stopped.wait(self._config.beat_seconds):
            self._try_to_beat(None)
            if self._launcher.is_gone:
                self._end("its launcher is gone")
            still = time.monotonic() - self._progress.moved_at
            if still > self._patience() and not self._others_work():
                self._end(f"no progress for {still:.0f} s")

    def _patience(self) -> float:
        seconds = self._config.timeout_seconds if self._progress.step > 0 else self._config.startup_seconds
        return seconds * (GRACE if self._progress.waiting_in else 1.0)

    def _others_work(self) -> bool:
        return self._progress.waiting_in is not None and self._peers.at_work()

    def _try_to_beat(self, ended: dict[str, Any] | None, attempts: int = 1) -> None:
        """Writes the heartbeat file. A write that fails is tried again, at the latest with the next beat: the launcher takes a
        rank for silent only after `timeout_seconds`."""
        for attempt in range(attempts):
            try:
                self._beat(ended)
            except (OSError, NightrankError) as error:
                self._note(error)
            else:
                self._unwritten = 0
                return
            if attempt + 1 < attempts:
                time.sleep(min(self._config.beat_seconds, 1.0))

    def _note(self, error: Exception) -> None:
        """The first of several failed writes in a row is named."""
        if self._unwritten == 0:
            log.warning(f"rank {self.rank}: its heartbeat could not be written; it will be tried again: {error}")
        self._unwritten += 1

    def _end(self, why: str) -> None:
        """Ends this process at once with all threads: the main thread cannot be reached."""
        assert self._stack is not None
        with suppress(OSError, ValueError):
            faulthandler.dump_traceback(file=self._stack, all_threads=True)
            self._stack.flush()
        self._try_to_beat({"how": "ended_itself", "why": why}, LAST_WORDS)
        os._exit(StalledError.exit_code)

    def _beat(self, ended: dict[str, Any] | None) -> None:
        progress = self._progress
        body = {
            "rank": self.rank,
            **self._process.to_json(),
            "step": progress.step,
            "doing": progress.doing,
            "collectives": progress.collectives,
            "waiting_in": progress.waiting_in,
            "still_seconds": round(time.monotonic() - progress.moved_at, 1),
            "at": time.time(),
            "ended": ended,
        }
        write_json(self.path, body)
