"""One run at a time per lake: owner, heartbeat, fence. Stdlib only, no lock server.

A claim is the file `.lease/<fence>.json`, put in place whole by a hard link, so of two that want the same fence one wins.
The highest claim is the holder and is never deleted, so fences grow for ever. `lease.json` is the copy that stages read;
a heartbeat is the modification time of the holder's own claim, compared with the file system's clock and not the machine's.
A claim counts only when every commit that was under way has ended: see `fence`.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease_claims as claims
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lake_lock import locked
from nightrank.feature_store.contracts.lease_claims import Owner

HEARTBEAT_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 45.0
"""A remote owner unheard of for this long is superseded; with a heartbeat of delay that stays inside a minute."""
COMMIT_SECONDS: Final = 20.0
"""How long a takeover waits for a commit of the run before to end: its process may be dying just now."""
Evict = Callable[[Owner], None]
"""Ends what a dead owner of this machine left running."""


class Lease:
    """A lease that is held. `lost` is set as soon as a newer owner is seen; what was begun must then not be committed."""

    def __init__(self, lake: Lake, owner: Owner, superseded: Owner | None) -> None:
        self.lake, self.owner = lake, owner
        self.superseded = superseded
        """The owner before, if it ended without releasing: what it left running is to be ended."""
        self.lost = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def fence(self) -> int:
        return self.owner.fence

    def commit(self) -> contextlib.AbstractContextManager[None]:
        """Around every write of the owner itself; see `fence.commit`."""
        return fences.commit(self.lake, self.owner.run_id, self.fence)

    def start_heartbeat(self, seconds: float = HEARTBEAT_SECONDS) -> None:
        self._thread = threading.Thread(target=self._beat_until_ended, args=(seconds,), name="lease", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Say that the owner lives, and look whether it still is the owner."""
        if claims.highest(self.lake) > self.fence:
            self.lost.set()
            return
        claims.beat(self.lake, self.fence)
        if claims.published_fence(self.lake) < self.fence:  # an outrun claimant's late rename, put right
            claims.publish(self.lake, self.owner)

    def release(self) -> None:
        """Free the lake for the next run. The fence stays in lease.json."""
        self._ended.set()
        if self._thread:
            self._thread.join()
        if claims.highest(self.lake) == self.fence:
            claims.publish(self.lake, self.owner, released=True)
            claims.mark_released(self.lake, self.fence)

    def _beat_until_ended(self, seconds: float) -> None:
        while not self._ended.wait(seconds):
            # A full or briefly absent disk is no reason to give up a lease that nobody else has taken.
            with contextlib.suppress(OSError):
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
        last = claims.highest(lake)
        holder = claims.read(lake, last) if last else None
        if last and holder is None:
            continue
        crashed = holder if holder and not claims.is_released(lake, last) else None
        if crashed:
            _raise_if_alive(lake, crashed, silent_seconds)
        owner = claims.owner(run_id, last + 1)
        if not claims.make(lake, owner):
            continue
        if crashed and evict and crashed.process.is_local:
            evict(crashed)
        _publish(lake, owner, holder, commit_seconds)
        if claims.highest(lake) == owner.fence:
            claims.forget_older(lake, owner.fence)
            return Lease(lake, owner, crashed)


@contextlib.contextmanager
def held(lake: Lake, run_id: str, *, evict: Evict | None = None) -> Iterator[Lease]:
    """The lease with its heartbeat for the length of a block."""
    lease = acquire(lake, run_id, evict=evict)
    lease.start_heartbeat()
    try:
        yield lease
    finally:
        lease.release()


def _publish(lake: Lake, owner: Owner, before: Owner | None, seconds: float) -> None:
    """The claim is made and stops new commits; here those under way end. ConflictError, and the claim is given up, if not."""
    try:
        with locked(fences.lock_path(lake), exclusive=True, seconds=seconds):
            claims.publish(lake, owner)
    except TimeoutError:
        claims.mark_released(lake, owner.fence)
        named = f"run {before.run_id} (process {before.process.pid} on host {before.process.host})" if before else "another run"
        raise ConflictError(
            f"{named} is inside a commit and does not end it", "end or resume that process, then give the same command again"
        ) from None


def _raise_if_alive(lake: Lake, holder: Owner, silent_seconds: float) -> None:
    if holder.process.is_local:
        alive = not holder.process.is_gone
        where = f"process {holder.process.pid} on this machine"
    else:
        silence = claims.silence(lake, holder.fence)
        alive = silence < silent_seconds
        where = f"on host {holder.process.host}, heard of {silence:.0f} s ago"
    if alive:
        raise ConflictError(f"run {holder.run_id} is working on this lake ({where})", "wait until it has ended, or end it")
