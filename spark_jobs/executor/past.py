"""Each row with the newest items of its user's history that had happened and were available before it. Arrow in, Arrow out."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.transforms.impression_inputs import AVAILABLE, KNOWN, ROWS, VALUES
from nightrank.spark_jobs.executor.rows import flattened

Batches = Iterable[pa.RecordBatch]
Ints = npt.NDArray[np.int64]


def history_adder(longest: int) -> Callable[[Batches], Batches]:
    """A mapInArrow function: `impression_inputs.with_events` in; its rows one by one out, with `history` (oldest first, at most
    `longest`) and `known`, the number of events it was taken from."""

    def add(batches: Batches) -> Batches:
        for batch in batches:
            yield _with_history(batch, longest)

    return add


def _with_history(batch: pa.RecordBatch, longest: int) -> pa.RecordBatch:
    rows = batch.column(ROWS)
    owners = _from_zero(rows.offsets)
    fields = rows.flatten()
    names = [field.name for field in fields.type]
    columns = dict(zip(names, fields.flatten(), strict=True))
    moments = columns[c.EVENT_TIME].to_numpy(zero_copy_only=False)
    times, starts = flattened(batch.column(c.TIMES))
    available, _ = flattened(batch.column(AVAILABLE))
    places: list[Ints] = []
    known = np.zeros(len(moments), np.int32)
    for (first, last), (start, end) in zip(pairwise(owners), pairwise(starts), strict=True):
        newest = np.maximum.accumulate(available[start:end]) if end > start else available[start:end]
        for row in range(first, last):
            seen = seen_by(moments[row], times[start:end], available[start:end], newest)
            known[row] = len(seen)
            places.append(seen[len(seen) - min(len(seen), longest) :] + start)
    offsets = np.concatenate([[0], np.cumsum([len(place) for place in places], dtype=np.int64)]).astype(np.int32)
    taken = np.concatenate(places) if places else np.empty(0, np.int64)
    values = batch.column(VALUES).flatten().take(pa.array(taken))
    history = pa.ListArray.from_arrays(pa.array(offsets), values)
    return pa.RecordBatch.from_arrays([*columns.values(), history, pa.array(known)], [*names, c.HISTORY, KNOWN])


def seen_by(moment: int, times: Any, available: Any, newest: Any) -> Ints:
    """Places of the events strictly before `moment` that were available by then. `times` ascend; `newest` is the running
    maximum of `available`."""
    before = int(np.searchsorted(times, moment, side="left"))
    if before == 0 or newest[before - 1] <= moment:
        return np.arange(before)
    late_too: Ints = np.flatnonzero(available[:before] <= moment)
    return late_too


def _from_zero(offsets: pa.Array) -> Ints:
    found: Ints = offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    found -= found[0]
    return found
