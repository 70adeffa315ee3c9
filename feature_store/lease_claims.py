"""The files behind a lease: one claim a fence, put in place whole and never overwritten. For `lease` alone."""

import contextlib
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from nightrank.feature_store.contracts.files import canonical_json, write_atomic, write_json
from nightrank.feature_store.contracts.lake import Lake


@dataclass(frozen=True)
class Owner:
    """Who holds a lease. `machine` is the boot and the process namespace: only there does `pid` mean anything."""

    run_id: str
    fence: int
    host: str
    machine: str
    pid: int
    process_started: str


def this_process(run_id: str, fence: int) -> Owner:
    return Owner(run_id, fence, socket.gethostname(), this_machine(), os.getpid(), process_started(os.getpid()))


def process_started(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty if there is no such living process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def this_machine() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + str(Path("/proc/self/ns/pid").readlink())
    return socket.gethostname()


def highest(lake: Lake) -> int:
    """The newest fence given out; 0 if none was."""
    return max((int(path.stem) for path in _folder(lake).glob("[0-9]*.json")), default=0)


def read(lake: Lake, fence: int) -> Owner | None:
    """None if a higher claim was made meanwhile and this one forgotten."""
    try:
        return Owner(**json.loads(_claim(lake, fence).read_text()))
    except FileNotFoundError:
        return None


def make(lake: Lake, owner: Owner) -> bool:
    """True if the fence is now this owner's; False if another was faster, or has gone past it."""
    draft = _draft(lake)
    write_atomic(draft, canonical_json(asdict(owner)))
    try:
        os.link(draft, _claim(lake, owner.fence))
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return highest(lake) == owner.fence


def publish(lake: Lake, owner: Owner, *, released: bool = False) -> None:
    """Write lease.json, the copy that stages compare their fence with."""
    write_json(lake.lease, {**asdict(owner), "released": released})


def published_fence(lake: Lake) -> int:
    try:
        return int(json.loads(lake.lease.read_text())["fence"])
    except (OSError, ValueError, KeyError):
        return 0


def mark_released(lake: Lake, fence: int) -> None:
    _released(lake, fence).touch()


def is_released(lake: Lake, fence: int) -> bool:
    return _released(lake, fence).exists()


def beat(lake: Lake, fence: int) -> None:
    os.utime(_claim(lake, fence))


def silence(lake: Lake, fence: int) -> float:
    """Seconds since the last beat, by the file system's clock, which all hosts of a lake share."""
    probe = _draft(lake)
    probe.touch()
    try:
        return max(probe.stat().st_mtime - _claim(lake, fence).stat().st_mtime, 0.0)
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink()


def forget_older(lake: Lake, fence: int) -> None:
    """Delete what lies below the highest claim. The highest stays for ever, so that fences only grow."""
    for path in _folder(lake).glob("[0-9]*"):
        if int(path.stem) < fence:
            path.unlink(missing_ok=True)


def _folder(lake: Lake) -> Path:
    return lake.root / ".lease"


def _draft(lake: Lake) -> Path:
    _folder(lake).mkdir(parents=True, exist_ok=True)
    return _folder(lake) / f"draft-{uuid.uuid4().hex}"


def _claim(lake: Lake, fence: int) -> Path:
    return _folder(lake) / f"{fence:012d}.json"


def _released(lake: Lake, fence: int) -> Path:
    return _folder(lake) / f"{fence:012d}.released"
