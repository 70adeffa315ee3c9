"""A run that an orchestrator opens, works through task by task, and closes: one lease over many processes and hosts.

Between tasks no process holds the lake, so the record says `open`. Each attempt at a task gets a fence of its own, and only the
fences of tasks at work may commit: tasks may run side by side, and a retry shuts out its zombie.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts.errors import ConflictError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lease import Evict, Lease, acquire, wait_for_commits
from nightrank.feature_store.contracts.lease_record import Record, Task
from nightrank.feature_store.contracts.process import this_process

ZOMBIE_SECONDS: Final = 600.0
"""How long a retry waits for a commit of the attempt before: a large table takes minutes to write."""


class TaskLease(Lease):
    """The lease of one attempt at a task. `lost` is set when a retry of it, or another run, has taken its place."""

    def __init__(self, lake: Lake, record: Record, task: str) -> None:
        super().__init__(lake, record, None)
        self.task = task

    def beat(self) -> None:
        records.update(self.lake, lambda found: _alive(found) if self._holds(found) else None)

    def release(self) -> None:
        """The task has ended; the run stays open."""
        self._stop()
        records.update(self.lake, lambda found: _alive(_without_task(found, self.task)) if self._holds(found) else None)

    def _holds(self, record: Record) -> bool:
        if not record.admits(self.fence):
            self.lost.set()
        return record.admits(self.fence)


def is_open(lake: Lake, run_id: str) -> bool:
    """Whether the lake is held by this run, opened and not closed."""
    found = records.read(lake)
    return found is not None and found[0].open and found[0].run_id == run_id


def open_run(lake: Lake, run_id: str, *, evict: Evict | None = None) -> None:
    """The lake is held by the run until `close_run`. Nothing changes if it was open already. ConflictError names another's."""
    if is_open(lake, run_id):
        return
    lease = acquire(lake, run_id, evict=evict)
    opened = records.update(
        lake, lambda found: _alive(replace(found, open=True, process=records.UNKNOWN)) if found.fence == lease.fence else None
    )
    if opened is None:
        raise ConflictError(f"another run took the lake while {run_id} was opened", "open it again when the other has ended")


@contextlib.contextmanager
def task(lake: Lake, run_id: str, name: str, *, evict: Callable[[Task], None] | None = None) -> Iterator[TaskLease]:
    """The lease of a new attempt at the task, with its heartbeat. An attempt before it commits nothing from here on.

    `evict` is called for an attempt before it that did not end, and is of this machine.
    UsageError if the run is not open; ConflictError if a commit of the attempt before does not end.
    """
    before: list[Record] = []

    def begin(found: Record) -> Record:
        _check_open(found, run_id)
        before[:] = [found]
        fence = found.fence + 1
        return _alive(replace(found, fence=fence, tasks={**found.tasks, name: Task(fence, this_process())}))

    begun = records.update(lake, begin)
    if begun is None:
        raise _not_open(run_id)
    lease = TaskLease(lake, begun, name)
    lease.start_heartbeat()
    try:
        zombie = before[0].tasks.get(name)
        if zombie is not None:
            if evict and zombie.process.is_local:
                evict(zombie)
            _wait_for_zombie(lake, name, zombie, begun.fence)
        yield lease
    finally:
        lease.release()


def close_run(lake: Lake, run_id: str) -> None:
    """The lake is free for the next run, and no process of this one may commit any more. Nothing changes if it was closed."""

    def close(found: Record) -> Record | None:
        if not found.open or found.run_id != run_id:
            return None
        return replace(found, open=False, released=True, fence=found.fence + 1, tasks={})

    records.update(lake, close)


def at_work(lake: Lake) -> list[str]:
    """Tasks of the open run whose process lives, as far as this machine can tell."""
    found = records.read(lake)
    return [name for name, one in found[0].tasks.items() if not one.process.is_gone] if found is not None else []


def _wait_for_zombie(lake: Lake, name: str, zombie: Task, fence: int) -> None:
    """A commit of a dead process has ended, so only a living one is waited for, and with it those of the other tasks."""
    if zombie.process.is_gone:
        return
    try:
        wait_for_commits(lake, fence, ZOMBIE_SECONDS)
    except TimeoutError:
        raise ConflictError(
            f"an earlier attempt at {name} (process {zombie.process.pid} on host {zombie.process.host}) is inside a commit and "
            "does not end it", "end or resume that process, then start the task again"
        ) from None  # fmt: skip


def _check_open(found: Record, run_id: str) -> None:
    if not found.open or found.run_id != run_id:
        raise _not_open(run_id)


def _not_open(run_id: str) -> UsageError:
    return UsageError(f"run {run_id} is not open", "open it with `nightrank run open`")


def _alive(record: Record) -> Record:
    return replace(record, beat=record.beat + 1, active=time.time())


def _without_task(record: Record, name: str) -> Record:
    return replace(record, tasks={other: one for other, one in record.tasks.items() if other != name})
