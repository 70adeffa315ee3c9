"""What a night's date asked for, before anything was learnt of it: the rows of its prequential figure.

Shapes: B rows, T tokens.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import torch

from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.days import days_of
from nightrank.ranker.batch import Batch
from nightrank.trainer.data.epoch import iter_part

SPLIT: Final = "day"
"""The name under which these rows are reported."""
PARTS: Final[tuple[PartName, ...]] = ("train", "holdout")


def day_rows(snapshot: DatasetSnapshot, root: Location, *, day: int, timezone: str, batch_rows: int) -> Iterator[Batch]:
    """Rows of a night whose targets are its labels of `day` (since 1970, in the zone), each label in one row.

    They are the night's training and hold-out rows. What is replayed, and what came late, is of earlier days and no target. A
    model that was trained before the night has seen no target (test, then train: Gama et al. 2013, prequential evaluation).
    """
    for part in PARTS:
        if snapshot.rows(part):
            for batch in iter_part(snapshot, root, part, batch_rows=batch_rows):
                of_day = from_day(batch, day, timezone)
                if of_day.rows:
                    yield of_day


def from_day(batch: Batch, day: int, timezone: str) -> Batch:
    """Each row with its first target moved to its first label of the day; rows without such a label are left out."""
    earlier_T = torch.from_numpy(np.asarray(days_of(batch.times_T.numpy(), timezone) < day))
    earlier_B = torch.bincount(batch.row_T[earlier_T], minlength=batch.rows)
    moved = replace(batch, loss_from_B=torch.maximum(batch.loss_from_B.to(torch.int64), earlier_B))
    return moved.rows_where(moved.loss_from_B < moved.lengths)
