"""One run at a time per lake: owner, heartbeat, fence. No lock server; `lease_record` is the one file behind it.

A run takes the lake over by a claim to the next fence, which stops new commits of the run before. Then it waits for those under
way: on a disk for the kernel's lock, in a bucket until the record names none.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts.errors import ConflictError, NightrankError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lake_lock import locked
from nightrank.feature_store.contracts.lease_record import Record
from nightrank.feature_store.contracts.storage import Version

HEARTBEAT_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 45.0
"""An owner on another host whose counter stands for this long is superseded."""
COMMIT_SECONDS: Final = 20.0
"""How long a takeover waits for a commit of the run before to end: its process may be dying just now."""
WATCH_SECONDS: Final = 0.25
IDLE_SECONDS: Final = 6 * 3600.0
"""An open run whose orchestrator has started no task for this long gives way: longer than hosts' clocks differ."""
Evict = Callable[[Record], None]
"""Ends what a dead owner of this machine left running."""


class Lease:
    """A lease that is held. `lost` is set as soon as a newer owner is seen; what was begun must then not be committed."""

    def __init__(self, lake: Lake, record: Record, superseded: Record | None) -> None:
        self.lake, self.run_id, self.fence = lake, record.run_id, record.fence
        self.superseded = superseded
        """The owner before, if it ended without releasing: what it left running is to be ended."""
        self.lost = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def commit(self) -> contextlib.AbstractContextManager[None]:
        """Around every write of the owner itself; see `fence.commit`."""
        return fences.commit(self.lake, self.run_id, self.fence)

    def start_heartbeat(self, seconds: float = HEARTBEAT_SECONDS) -> None:
        self._thread = threading.Thread(target=self._beat_until_ended, args=(seconds,), name="lease", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Say that the owner lives, and look whether it still is the owner."""
        records.update(self.lake, lambda record: replace(record, beat=record.beat + 1) if self._holds(record) else None)

    def release(self) -> None:
        """Free the lake for the next run. The fence stays in lease.json."""
        self._stop()
        records.update(self.lake, lambda record: replace(record, released=True) if self._holds(record) else None)

    def _stop(self) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _holds(self, record: Record) -> bool:
        if record.fence > self.fence:
            self.lost.set()
        return record.fence == self.fence

    def _beat_until_ended(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            # A full disk, or a store that is briefly absent, is no reason to give up a lease that nobody else has taken.
            with contextlib.suppress(OSError, NightrankError):
                self.beat()


def acquire(
    lake: Lake,
    run_id: str,
    *,
    silent_seconds: float = SILENT_SECONDS,
    commit_seconds: float = COMMIT_SECONDS,
    evict: Evict | None = None,
) -> Lease:
    """The lease, with a fence above every earlier one. ConflictError names the run that holds the lake alive.

    `evict` is called for an owner of this machine that died, once its lease is ours.
    """
    while True:
        before, version = records.read(lake) or (None, None)
        crashed = before if before and not before.released else None
        if crashed and version:
            _raise_if_alive(lake, crashed, version, silent_seconds)
        claimed = records.claim(run_id, before)
        if not records.put(lake, claimed, version):
            continue
        if crashed and evict and crashed.process.is_local:
            evict(crashed)
        _shut_out(lake, claimed, before, commit_seconds)
        return Lease(lake, claimed, crashed)


@contextlib.contextmanager
def held(lake: Lake, run_id: str, *, evict: Evict | None = None) -> Iterator[Lease]:
    """The lease with its heartbeat for the length of a block."""
    lease = acquire(lake, run_id, evict=evict)
    lease.start_heartbeat()
    try:
        yield lease
    finally:
        lease.release()


def _shut_out(lake: Lake, claimed: Record, before: Record | None, seconds: float) -> None:
    """The claim stops new commits; here those under way end. ConflictError, and the claim is given up, if they do not."""
    try:
        wait_for_commits(lake, claimed.fence, seconds)
    except TimeoutError:
        records.update(lake, lambda record: replace(record, released=True) if record.fence == claimed.fence else None)
        owner = before.process if before else None
        named = f"run {before.run_id} (process {owner.pid} on host {owner.host})" if before and owner else "another run"
        raise ConflictError(
            f"{named} is inside a commit and does not finish it", "end or resume that process, then give the same command again"
        ) from None


def wait_for_commits(lake: Lake, fence: int, seconds: float) -> None:
    """After return no commit is under way that began before the claim to `fence`. TimeoutError if one does not end.

    In a bucket a commit has ended if the record no longer names it, its process is dead, or its host went silent.
    """
    if lake.root.is_local:
        with locked(fences.lock_path(lake), exclusive=True, seconds=seconds):
            return
    until = time.monotonic() + seconds
    while True:
        record = records.update(lake, lambda found: records.without(found, _ended(found)) if found.fence >= fence else None)
        if record is None or not record.commits:
            return
        if time.monotonic() >= until:
            raise TimeoutError
        time.sleep(WATCH_SECONDS)


def _ended(record: Record) -> set[str]:
    return {name for name, process in record.commits.items() if process.is_gone or not process.is_local}


def _raise_if_alive(lake: Lake, holder: Record, version: Version, silent_seconds: float) -> None:
    if holder.open:
        raise_if_open(holder)
        return
    if holder.process.is_local:
        if holder.process.is_gone:
            return
        where = f"process {holder.process.pid} on this machine"
    else:
        if not _moves(lake, version, silent_seconds):
            return
        where = f"on host {holder.process.host}"
    raise ConflictError(f"run {holder.run_id} is working on this lake ({where})", "wait until it ends, or stop it")


def raise_if_open(holder: Record) -> None:
    """ConflictError while an orchestrator's run is not closed and was at work lately."""
    idle = time.time() - holder.active
    if idle < IDLE_SECONDS:
        raise ConflictError(
            f"run {holder.run_id} is open on this lake, last at work {max(idle, 0) / 60:.0f} minutes ago",
            f"end it with `nightrank run close`; {IDLE_SECONDS / 3600:.0f} hours after its last task it gives way by itself",
        )


def _moves(lake: Lake, version: Version, seconds: float) -> bool:
    """Whether the record changes while this process watches it, by this process's own clock.

    Time in which the store did not answer does not count: the owner could not say that it lives either.
    """
    watched = 0.0
    while watched < seconds:
        began = time.monotonic()
        time.sleep(min(WATCH_SECONDS, seconds))
        watched += time.monotonic() - began
        found = records.read(lake)
        if found is None or found[1] != version:
            return True
    return False
