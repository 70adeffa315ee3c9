"""Hold-out rows of earlier nights that were too few to decide, kept beside each night's decision and pooled with tonight's.

Each night's challenger is measured against the same champion on rows that were in no loss of either. Pooled, they answer
whether what the nights learn since that champion is better than the champion.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.ranker.metrics.ranking import Floats

FILE: Final = "gate_rows.json"
"""In the run's folder, written before `gate.json`."""
DECIDED: Final = ("first", "promoted", "rejected")


@dataclass(frozen=True)
class PairedRows:
    """[N] NDCG@10 of challenger and champion on the same hold-out rows, of so many nights."""

    ours: Floats
    theirs: Floats
    nights: int = 1

    def __len__(self) -> int:
        return len(self.ours)

    def save(self, run_dir: Path, *, date: str, champion: str, challenger: str) -> None:
        body = {"date": date, "champion": champion, "challenger": challenger}
        write_json(run_dir / FILE, {**body, "ours": self.ours.tolist(), "theirs": self.theirs.tolist()})


def pooled(tonight: PairedRows, lake: Lake, *, date: str, champion: str, nights: int, wanted: int) -> PairedRows:
    """Tonight's rows with those of the nights before it, newest first, until there are `wanted` rows or `nights` nights.

    Only nights against the same champion count, and none from before a night that was decided.
    """
    whole = tonight
    for body in _earlier(lake, date):
        if len(whole) >= wanted or whole.nights >= nights or body["champion"] != champion or body["decision"] in DECIDED:
            break
        ours, theirs = (np.concatenate([rows, np.array(body[name])]) for name, rows in _columns(whole))
        whole = PairedRows(ours, theirs, whole.nights + 1)
    return whole


def _columns(rows: PairedRows) -> tuple[tuple[str, Floats], tuple[str, Floats]]:
    return ("ours", rows.ours), ("theirs", rows.theirs)


def _earlier(lake: Lake, date: str) -> list[dict[str, Any]]:
    """What runs of earlier dates left, newest date first; of a repeated date the latest attempt alone."""
    found: dict[str, tuple[float, dict[str, Any]]] = {}
    for path in lake.root.glob(f"runs/*/{FILE}"):
        body, decision = read_json(path), path.with_name("gate.json")
        if body["date"] >= date or not decision.exists():
            continue
        age = decision.stat().st_mtime
        if body["date"] not in found or found[body["date"]][0] < age:
            found[body["date"]] = (age, {**body, "decision": read_json(decision)["decision"]})
    return [body for _, (_, body) in sorted(found.items(), reverse=True)]
