"""Aggregates of entities as of the days that are requested, inside executors: by the same look-ups as everywhere else."""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import pyarrow as pa

from nightrank.feature_store.as_of import aggregates
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.spark_jobs.executor.features import sums_of

REQUESTED: Final = "requested_days"
NUMBERS: Final = "numbers"
Batches = Iterable[pa.RecordBatch]


def aggregate_reader(entity: str, names: tuple[str, ...]) -> Callable[[Batches], Batches]:
    """A mapInArrow function: `entity`, `requested_days` and the counts of its days in; `entity`, `day` and `numbers` (a model
    input a name) out, one row a day that was requested."""

    def read(batches: Batches) -> Batches:
        for batch in batches:
            yield _looked_up(batch, entity, names)

    return read


def _looked_up(batch: pa.RecordBatch, entity: str, names: tuple[str, ...]) -> pa.RecordBatch:
    entities, requested, counters = batch.column(entity).to_numpy(), batch.column(REQUESTED), counters_of(names)
    owners = np.repeat(entities, requested.value_lengths().to_numpy(zero_copy_only=False))
    days = requested.flatten()
    found = aggregates(sums_of(batch, entities, counters), names, counters, owners, days.to_numpy())
    offsets = pa.array(np.arange(len(found) + 1, dtype=np.int32) * len(names))
    numbers = pa.ListArray.from_arrays(offsets, pa.array(found.ravel(), pa.float32()))
    return pa.RecordBatch.from_arrays([pa.array(owners), days, numbers], [entity, c.DAY, NUMBERS])
