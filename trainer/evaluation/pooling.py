"""Hold-out rows of earlier nights that were too few to decide, kept beside each night's decision and pooled with tonight's.

Each night's challenger is measured against the same champion on rows that were in no loss of either. Pooled, they answer
whether what the nights learn since that champion is better than the champion.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.gate_rows import FILE, earlier_rows
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.metrics.ranking import Floats


@dataclass(frozen=True)
class PairedRows:
    """[N] NDCG@10 of challenger and champion on the same hold-out rows, of so many nights."""

    ours: Floats
    theirs: Floats
    nights: int = 1
    slices: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """[N] which of the rows are in each slice."""

    def __len__(self) -> int:
        return len(self.ours)

    def save(self, run_dir: Location, *, date: str, champion: str, challenger: str) -> None:
        body = {"date": date, "champion": champion, "challenger": challenger}
        slices = {name: np.flatnonzero(inside).tolist() for name, inside in self.slices.items()}
        write_json(run_dir / FILE, {**body, "ours": self.ours.tolist(), "theirs": self.theirs.tolist(), "slices": slices})


def pooled(tonight: PairedRows, lake: Lake, *, date: str, champion: str, nights: int, wanted: int) -> PairedRows:
    """Tonight's rows with those of the nights before it, newest first, until there are `wanted` rows or `nights` nights.

    Only nights against the same champion count, and none from before a night that was decided.
    """
    whole = tonight
    for earlier in earlier_rows(lake, date, champion):
        if len(whole) >= wanted or whole.nights >= nights:
            break
        ours, theirs = (np.concatenate([rows, np.array(earlier.body[name])]) for name, rows in _columns(whole))
        slices = {name: _joined(inside, name, earlier.body) for name, inside in whole.slices.items()}
        whole = PairedRows(ours, theirs, whole.nights + 1, slices)
    return whole


def _joined(inside: npt.NDArray[np.bool_], name: str, body: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """With the earlier night's rows behind; none of them where it was written before there were slices."""
    earlier = np.zeros(len(body["ours"]), bool)
    earlier[body.get("slices", {}).get(name, [])] = True
    return np.concatenate([inside, earlier])


def _columns(rows: PairedRows) -> tuple[tuple[str, Floats], tuple[str, Floats]]:
    return ("ours", rows.ours), ("theirs", rows.theirs)
