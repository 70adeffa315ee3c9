"""How often each item was chosen before a split: what is cold, new, head or tail is told by it."""

from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.trainer.data.item_inputs import item_counts
from nightrank.trainer.evaluation.recommenders import Ids


def training_events(snapshot: DatasetSnapshot, root: Location, split: PartName) -> Ids:
    """[items + 1] events of each item that training knew before the split: the training parts of a full run; on a night, whose
    snapshot holds only the day and a replay, the interactions that landed before the day."""
    if snapshot.kind == "full":
        parts: tuple[PartName, ...] = ("train",) if split == "test" else ("train", "refit")
        return item_counts(snapshot, root, tuple(part for part in parts if snapshot.rows(part)))
    name = tables.INTERACTIONS.name
    lake = Lake(root)
    table = delta_read.open_table(lake, name, snapshot.tables.get(name))
    counts = np.zeros(snapshot.items + 1, np.int64)
    day = datetime.fromisoformat(snapshot.date).replace(tzinfo=UTC).date()
    scan = delta_read.dataset(lake, name, delta_read.file_paths(table), tables.INTERACTIONS.schema)
    for batch in scan.to_batches(columns=[c.ITEM], filter=pc.field(c.LANDING_DATE) < day):
        counts += np.bincount(batch.column(c.ITEM).to_numpy(), minlength=len(counts))
    return counts
