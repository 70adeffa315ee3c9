"""The processes behind the ranks' heartbeats, those on this machine."""

import signal
import time
from contextlib import suppress

import psutil

from nightrank.feature_store.contracts.process import ProcessId
from nightrank.feature_store.contracts.storage import Location, workplace
from nightrank.trainer.ranks.heartbeats import Beat

STACK_SECONDS: float = 1.0
"""How long a rank is given to write its stack before it is killed."""


def read_stack(folder: Location, rank: int) -> str:
    path = workplace(folder) / f"rank-{rank}.stack.txt"
    return path.read_text().strip() if path.exists() else ""


def take_stack(beat: Beat, folder: Location) -> str:
    """The stacks of a rank on this machine that no longer beats: a stopped process is woken just to write them."""
    worker = worker_of(beat)
    if worker is None:
        return ""
    with suppress(psutil.NoSuchProcess):
        worker.send_signal(signal.SIGUSR1)
        worker.send_signal(signal.SIGCONT)
        time.sleep(STACK_SECONDS)
    return read_stack(folder, beat["rank"])


def gone(beat: Beat) -> bool:
    """The beating process was on this machine and is no more: not stopped, not hung."""
    return process_of(beat).is_gone


def worker_of(beat: Beat) -> psutil.Process | None:
    """The beating process, if it is of this machine, alive, and still the one that wrote the beat (not a reused pid)."""
    process = process_of(beat)
    if not process.is_local or process.is_gone:
        return None
    try:
        return psutil.Process(process.pid)
    except psutil.NoSuchProcess:
        return None


def process_of(beat: Beat) -> ProcessId:
    """Who wrote the beat; unknown for a beat that names no machine."""
    return ProcessId(beat["host"], beat.get("machine", ""), beat["pid"], beat.get("started", ""))


def kill(beats: list[Beat]) -> None:
    workers = [worker for beat in beats if (worker := worker_of(beat)) is not None]
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    psutil.wait_procs(workers, timeout=10)
