"""Since when somebody has been working on a lake: files younger than that may belong to work that is not committed yet."""

import fcntl
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from nightrank.feature_store.contracts import lease_record as records
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location

MARGIN_SECONDS: Final = 60.0
"""What the clocks of two hosts may differ by."""
TRIAL_SECONDS: Final = 24 * 3600.0


def hours_of_oldest(context: StageContext) -> float:
    """Hours since the oldest live run began: this one, the one that holds the lease, a search. 0 where there is none."""
    oldest = min(_starts(context), default=None)
    return 0.0 if oldest is None else max(0.0, time.time() - oldest + MARGIN_SECONDS) / 3600


def _starts(context: StageContext) -> Iterator[float]:
    runs = [context.run_dir]
    holder = records.read(context.lake)
    if holder is not None and not holder[0].released:
        runs.append(context.lake.run_dir(holder[0].run_id))
    yield from (_started(folder / "run.json") for folder in runs if (folder / "run.json").exists())
    yield from searches(context.lake)


def _started(path: Location) -> float:
    """Of the first attempt: what it left is used by the later ones."""
    written = path.entry().modified
    begun = read_json(path).get("started")
    return min(written, datetime.fromisoformat(begun).timestamp()) if begun else written


def searches(lake: Lake) -> Iterator[float]:
    """When each search that is under way began. `nightrank tune` writes study.json then, and on a disk holds a lock."""
    for study in (lake.root / "tune").glob("*/study.json"):
        if _is_searched(study.with_name(".lock")) if lake.root.is_local else _is_young(study.parent):
            yield study.entry().modified


def _is_searched(lock: Location) -> bool:
    if not lock.exists():
        return False
    with open(lock) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_young(folder: Location) -> bool:
    """In a bucket no lock tells: a search counts as under way while its newest file is younger than a trial may take."""
    return any(entry.modified > time.time() - TRIAL_SECONDS for _, entry in folder.walk())
