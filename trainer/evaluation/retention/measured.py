"""NDCG@10 of several models on one set of rows, and which slices each row is in.

Shapes: N rows that have a target left, B rows of a batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.ranker.batch import Batch
from nightrank.ranker.metrics.ranking import per_row
from nightrank.trainer.config.retention import RetentionConfig
from nightrank.trainer.data.arrow_rows import rows_of
from nightrank.trainer.data.collate import batch_of
from nightrank.trainer.evaluation.recommenders import Ids, Recommender, days_of
from nightrank.trainer.loop.validation import DAY_MICROSECONDS, Queries, queries

K = 10
METRIC = f"ndcg@{K}"
BATCH_ROWS = 1024
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    ndcg: dict[str, Floats]
    """Model -> [N]."""
    slices: dict[str, Flags]
    """[N] whether a row is in the slice. `old_items` and `new_items`, and the three kinds of users, split the rows."""


def measure_set(
    rows: pa.Table,
    snapshot: DatasetSnapshot,
    models: Mapping[str, Recommender],
    config: RetentionConfig,
    known_items: int,
    where: str,
) -> Measured:
    """One pass. An item is new if the last full model does not know it: its id is above `known_items`."""
    values: dict[str, list[Floats]] = {name: [np.zeros(0)] for name in models}
    slices: dict[str, list[Flags]] = {}
    for batch in _batches(rows, where):
        query = queries(batch, snapshot)
        if not query.history.rows:
            continue
        days, (targets, offsets) = days_of(batch, query.kept_B), (part.numpy() for part in query.targets)
        for name, model in models.items():
            values[name].append(per_row(model.lists(query, days, K), targets, offsets, (K,))[METRIC])
        for name, inside in slices_of(batch, query, targets[offsets[:-1]], config, known_items).items():
            slices.setdefault(name, []).append(inside)
    return Measured(
        {name: np.concatenate(parts) for name, parts in values.items()},
        {name: np.concatenate(parts) for name, parts in slices.items()},
    )


def slices_of(batch: Batch, query: Queries, target_B: Ids, config: RetentionConfig, known_items: int) -> dict[str, Flags]:
    """[B] of the rows that are asked for."""
    new_item = target_B > known_items
    new_user = query.history.lengths.numpy() <= config.new_user_events
    dormant = ~new_user & (_silent_days(batch, query) >= config.dormant_days)
    return {
        "old_items": ~new_item,
        "new_items": new_item,
        "new_users": new_user,
        "active_users": ~new_user & ~dormant,
        "dormant_users": dormant,
    }


def _silent_days(batch: Batch, query: Queries) -> Floats:
    """[B] days from the last event of the history to the first target; 0 where a time is not known."""
    first_B = batch.offsets_B1[:-1] + batch.loss_from_B
    then, before = batch.times_T[first_B], batch.times_T[(first_B - 1).clamp_min(0)]
    gaps = ((then - before).clamp_min(0).double() / DAY_MICROSECONDS).numpy()
    kept: Floats = np.where((then > 0).numpy() & (before > 0).numpy(), gaps, 0.0)[query.kept_B.numpy()]
    return kept


def _batches(table: pa.Table, where: str) -> Iterator[Batch]:
    rows = rows_of(table, where)
    for first in range(0, len(rows), BATCH_ROWS):
        yield batch_of(rows, first, min(first + BATCH_ROWS, len(rows)))
