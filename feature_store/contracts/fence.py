"""The fence: whether a run may still commit, checked and used in one step.

On a disk `commit` holds a shared lock of the lake from the check to the end of the write. The kernel gives it back when the
process dies. A takeover takes the same lock exclusively before it counts. In a bucket the lease's record names the commit
instead, see `lease_record`. So a commit ends before the takeover, or is refused after it. docs/adr/0013 and 0020 say why.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lake_lock import locked
from nightrank.feature_store.contracts.lease_record import Record
from nightrank.feature_store.contracts.process import ProcessId

WAIT_SECONDS: Final = 60.0
"""A takeover holds the lock for the time of one small write; one that lasts this long is broken."""


def lock_path(lake: Lake) -> Path:
    """On a disk alone."""
    return lake.root.path / ".lease" / "commit.lock"


def check(lake: Lake, run_id: str, fence: int) -> None:
    """ConflictError if a newer run has taken the lake over. A fence of 0 is under no lease and is never refused."""
    found = records.read(lake)
    if found is not None:
        check_record(found[0], run_id, fence)


def check_record(record: Record, run_id: str, fence: int) -> None:
    if fence > 0 and not record.admits(fence):
        raise ConflictError(
            f"run {run_id} (fence {fence}) was superseded by run {record.run_id} (fence {record.fence})",
            "nothing was committed; start the run again when the other has ended",
        )


def superseded_by(lake: Lake, fence: int) -> tuple[str, int] | None:
    """Run and fence of the newest claim if it is above `fence`; None if this one is the newest."""
    found = records.read(lake)
    return (found[0].run_id, found[0].fence) if found is not None and fence > 0 and not found[0].admits(fence) else None


@contextmanager
def commit(lake: Lake, run_id: str, fence: int, writer: ProcessId | None = None) -> Iterator[None]:
    """Inside, the run holds the lake and no other run can take it over. ConflictError, before the block, if it was superseded.

    `writer` is the process that writes, if it is not this one.
    """
    if fence <= 0:
        yield
        return
    if not lake.root.is_local:
        with records.committing(lake, lambda record: check_record(record, run_id, fence), writer):
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
        f"another run is taking over this lake and does not finish: {error}",
        "end that process, then give the same command again",
    )
