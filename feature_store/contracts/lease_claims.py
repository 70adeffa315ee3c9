"""The files behind a lease: one claim a fence, put in place whole and never overwritten. For `lease` alone."""

import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightrank.feature_store.contracts.files import canonical_json, write_atomic, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import ProcessId, this_process


@dataclass(frozen=True)
class Owner:
    """Who holds a lease: a run, its fence, and the process that works for it."""

    run_id: str
    fence: int
    process: ProcessId

    def to_json(self) -> dict[str, Any]:
        return {"run_id": self.run_id, "fence": self.fence, **self.process.to_json()}


def owner(run_id: str, fence: int) -> Owner:
    """This process as the owner of a fence."""
    return Owner(run_id, fence, this_process())


def highest(lake: Lake) -> int:
    """The newest fence given out; 0 if none was."""
    return max((int(path.stem) for path in _folder(lake).glob("[0-9]*.json")), default=0)


def read(lake: Lake, fence: int) -> Owner | None:
    """None if a higher claim was made meanwhile and this one forgotten."""
    try:
        body = json.loads(_claim(lake, fence).read_text())
    except FileNotFoundError:
        return None
    started = body.get("started", body.get("process_started", ""))
    return Owner(body["run_id"], body["fence"], ProcessId(body["host"], body["machine"], body["pid"], started))


def newest(lake: Lake) -> tuple[str, int] | None:
    """Run and fence of the highest claim, or of lease.json where that says more; None where neither was ever written."""
    found: list[tuple[str, int]] = []
    if fence := highest(lake):
        claimed = read(lake, fence)
        found.append((claimed.run_id if claimed else "unknown", fence))
    if (body := _published(lake)) is not None:
        found.append((str(body["run_id"]), int(body["fence"])))
    return max(found, key=lambda pair: pair[1], default=None)


def make(lake: Lake, owner: Owner) -> bool:
    """True if the fence is now this owner's; False if another was faster, or has gone past it."""
    draft = _draft(lake)
    write_atomic(draft, canonical_json(owner.to_json()))
    try:
        os.link(draft, _claim(lake, owner.fence))
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return highest(lake) == owner.fence


def publish(lake: Lake, owner: Owner, *, released: bool = False) -> None:
    """Write lease.json, the copy that stages compare their fence with."""
    write_json(lake.lease, {**owner.to_json(), "released": released})


def published_fence(lake: Lake) -> int:
    body = _published(lake)
    return int(body["fence"]) if body else 0


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


def _published(lake: Lake) -> dict[str, Any] | None:
    try:
        body = json.loads(lake.lease.read_text())
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) and {"fence", "run_id"} <= set(body) else None


def _folder(lake: Lake) -> Path:
    return lake.root / ".lease"


def _draft(lake: Lake) -> Path:
    _folder(lake).mkdir(parents=True, exist_ok=True)
    return _folder(lake) / f"draft-{uuid.uuid4().hex}"


def _claim(lake: Lake, fence: int) -> Path:
    return _folder(lake) / f"{fence:012d}.json"


def _released(lake: Lake, fence: int) -> Path:
    return _folder(lake) / f"{fence:012d}.released"
