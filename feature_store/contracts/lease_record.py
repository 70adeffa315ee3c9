"""`lease.json`: who holds a lake, under which fence, and what is being committed in a bucket. Only swaps change it.

A claim is a swap to the next fence, so of two that want it one wins, and fences only grow. A heartbeat is a swap that counts
`beat` up: whoever waits watches the counter by its own clock, so hosts need not agree on the time.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import canonical_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import ProcessId, this_process
from nightrank.feature_store.contracts.storage import Location, Version

UNKNOWN: Final = ProcessId("unknown", "unknown", 0, "")
_PROCESS: Final = tuple(each.name for each in fields(ProcessId))


@dataclass(frozen=True)
class Task:
    """One attempt at a part of an open run. A retry gets a higher fence, and what the attempt before writes is refused."""

    fence: int
    process: ProcessId


@dataclass(frozen=True)
class Record:
    """What `lease.json` says."""

    run_id: str
    fence: int
    process: ProcessId = UNKNOWN
    released: bool = False
    """The owner ended, or gave its claim up."""
    beat: int = 0
    commits: dict[str, ProcessId] = field(default_factory=dict)
    """Commits under way in a bucket, each with the process that makes it. On a disk a lock of the kernel stands for them."""
    open: bool = False
    """Held by a run that an orchestrator opened: no process stands behind it between its tasks."""
    active: float = 0.0
    """When a task of an open run last gave a sign of life, in seconds since 1970 by its own clock."""
    tasks: dict[str, Task] = field(default_factory=dict)
    """What is at work in an open run; only these fences may commit."""

    def admits(self, fence: int) -> bool:
        """Whether a process under this fence may commit."""
        return fence in {task.fence for task in self.tasks.values()} if self.open else fence >= self.fence

    def to_json(self) -> dict[str, Any]:
        body = {**asdict(self), **asdict(self.process)}
        return {name: value for name, value in body.items() if name != "process"}


Change = Callable[[Record], Record | None]
"""The record that is to stand; None to leave it as it is."""


def read(lake: Lake) -> tuple[Record, Version] | None:
    """The record and its version; None where nobody ever held the lake. DataContractError where it is no record."""
    place = _place(lake)
    try:
        found = place.read()
    except FileNotFoundError:
        return None
    try:
        body = json.loads(found.data)
        return _record(body), found.version
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DataContractError(
            f"{place} is not what a run writes there", "when no run works on this lake, delete the file and start again"
        ) from None


def _record(body: dict[str, Any]) -> Record:
    """Fields that the lease of an older release lacks have their defaults."""
    tasks = {name: Task(int(task["fence"]), ProcessId(**task["process"])) for name, task in body.get("tasks", {}).items()}
    return Record(
        run_id=str(body["run_id"]),
        fence=int(body["fence"]),
        process=ProcessId(**{name: body[name] for name in _PROCESS}) if all(name in body for name in _PROCESS) else UNKNOWN,
        released=bool(body.get("released")),
        beat=int(body.get("beat", 0)),
        commits={each: ProcessId(**process) for each, process in body.get("commits", {}).items()},
        open=bool(body.get("open")),
        active=float(body.get("active", 0.0)),
        tasks=tasks,
    )


def put(lake: Lake, record: Record, over: Version | None) -> bool:
    """True if `record` is there now; False if the file is no longer what `over` says (None: that there is none)."""
    body = canonical_json({**record.to_json(), "nonce": uuid.uuid4().hex})
    return _place(lake).create(body) if over is None else _place(lake).swap(body, over) is not None


def update(lake: Lake, change: Change) -> Record | None:
    """The record after `change`, which is asked again when another process was faster; None if it wanted none."""
    while True:
        found = read(lake)
        if found is None:
            return None
        wanted = change(found[0])
        if wanted is None:
            return None
        if put(lake, wanted, found[1]):
            return wanted
        time.sleep(random.uniform(0.0, 0.05))


def claim(run_id: str, before: Record | None) -> Record:
    """The next fence for this process. Commits of the owner before stay until they have ended."""
    fence, commits = (before.fence + 1, before.commits) if before else (1, {})
    return Record(run_id, fence, this_process(), commits=commits)


@contextmanager
def committing(lake: Lake, check: Callable[[Record], None], process: ProcessId | None = None) -> Iterator[None]:
    """In the record for the length of the block, so that no takeover counts before it ends. `check` may refuse it."""
    name, maker = uuid.uuid4().hex, process or this_process()

    def enter(record: Record) -> Record:
        check(record)
        return replace(record, commits={**record.commits, name: maker})

    update(lake, enter)
    try:
        yield
    finally:
        update(lake, lambda record: without(record, {name}))


def without(record: Record, ended: set[str]) -> Record:
    return replace(record, commits={name: process for name, process in record.commits.items() if name not in ended})


def _place(lake: Lake) -> Location:
    return lake.root / "lease.json"
