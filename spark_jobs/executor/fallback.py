"""What a user without a usable history is shown: what the segment chose lately, then what everybody chose, then by item id."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Fallback:
    """Popular items by segment; the empty segment is everybody and holds every eligible item."""

    items: dict[str, Ids]
    counts: dict[str, npt.NDArray[np.float32]]

    def pick(self, segment: str, seen: Ids, k: int) -> tuple[Ids, npt.NDArray[np.float32]]:
        """min(k, eligible - seen) item ids and how often the segment chose them lately; what fills up scores 0."""
        own, counts = self._of(segment)
        enough = 2 * (k + len(seen))
        both = np.concatenate([own[:enough], self.items[""][:enough]])
        scores = np.concatenate([counts[:enough], np.zeros(min(enough, len(self.items[""])), dtype=np.float32)])
        first = np.sort(np.unique(both, return_index=True)[1])
        kept = first[~np.isin(both[first], seen)][:k]
        return both[kept], scores[kept]

    def _of(self, segment: str) -> tuple[Ids, npt.NDArray[np.float32]]:
        name = segment if segment in self.items else ""
        return self.items[name], self.counts[name]


def read_fallback(folder: Path, eligible: Iterable[int]) -> Fallback:
    """From the table of (`segment`, `item`, `count`) that the job wrote; items that are not eligible are left out."""
    everything = np.array(sorted(eligible), dtype=np.int64)
    table = pq.read_table(folder).sort_by([(c.SEGMENT, "ascending"), ("count", "descending"), (c.ITEM, "ascending")])
    table = table.filter(np.isin(table[c.ITEM].to_numpy(), everything))
    segments, ids = np.array(table[c.SEGMENT].to_pylist(), dtype=str), table[c.ITEM].to_numpy().astype(np.int64)
    counts = table["count"].to_numpy().astype(np.float32)
    items = {str(name): ids[segments == name] for name in np.unique(segments)}
    known = {str(name): counts[segments == name] for name in np.unique(segments)}
    chosen = items.get("", np.empty(0, dtype=np.int64))
    rest = np.setdiff1d(everything, chosen)
    items[""] = np.concatenate([chosen, rest])
    known[""] = np.concatenate([known.get("", np.empty(0)), np.zeros(len(rest))]).astype(np.float32)
    return Fallback(items, known)
