"""The fence: whether a run may still commit, checked and used in one step.

`commit` holds a shared lock of the lake from the check to the end of the write; a takeover takes the same lock exclusively
before it counts. So a commit ends before the takeover, or is refused after it; there is no in between, however long a process
sleeps. docs/adr/0013 says why a lock, and how an object store would do the same by compare-and-swap.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts import lease_claims as claims
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lake_lock import locked

WAIT_SECONDS: Final = 60.0
"""A takeover holds the lock for the time of one small write; one that lasts this long is broken."""


def lock_path(lake: Lake) -> Path:
    return lake.root / ".lease" / "commit.lock"


def check(lake: Lake, run_id: str, fence: int) -> None:
    """ConflictError if a newer run has taken the lake over. A fence of 0 stands under no lease and is never refused."""
    newer = superseded_by(lake, fence)
    if newer is not None:
        raise ConflictError(
            f"run {run_id} (fence {fence}) was superseded by run {newer[0]} (fence {newer[1]})",
            "nothing was committed; start the run again when the other has ended",
        )


def superseded_by(lake: Lake, fence: int) -> tuple[str, int] | None:
    """Run and fence of the newest claim if it is above `fence`; None if this one is the newest."""
    newest = claims.newest(lake)
    return newest if newest is not None and 0 < fence < newest[1] else None


@contextmanager
def commit(lake: Lake, run_id: str, fence: int) -> Iterator[None]:
    """Inside, the run holds the lake and nobody can take it over. ConflictError, before the block, if it was superseded."""
    if fence <= 0:
        yield
        return
    try:
        with locked(lock_path(lake), exclusive=False, seconds=WAIT_SECONDS):
            check(lake, run_id, fence)
            yield
    except TimeoutError as error:
        raise busy(error) from None


def busy(error: TimeoutError) -> ConflictError:
    return ConflictError(
        f"another run is taking over this lake and does not end: {error}", "end that process, then give the same command again"
    )
