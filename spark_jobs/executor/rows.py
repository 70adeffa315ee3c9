"""Arrow in, Arrow out: users' event lists into training rows, inside executors."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.training_rows import History
from nightrank.feature_store.user_rows import Row, RowRules, user_rows

HELD_OUT: Final = "held_out"
REPLAYED: Final = "replayed"
_CHOSEN: Final = "replay"
_LISTS: Final = (c.ITEMS, c.ACTIONS, c.TIMES, c.AVAILABILITY_TIME, "fresh", "today")
Batches = Iterable[pa.RecordBatch]


def rows_builder(rules: RowRules) -> Callable[[Batches], Batches]:
    """A mapInArrow function: `user_sequences` with `held_out` and `replayed` in, EXAMPLES rows out."""

    def build(batches: Batches) -> Batches:
        for batch in batches:
            rows = _Rows()
            flags = zip(*(batch.column(name).to_pylist() for name in (c.USER, HELD_OUT, REPLAYED)), strict=True)
            for (user, held_out, replayed), raw in zip(flags, histories(batch), strict=True):
                rows.add(user, *user_rows(raw, rules, held_out, replayed))
            yield rows.to_arrow()

    return build


def histories(batch: pa.RecordBatch) -> Iterator[History]:
    """Each user's History, as views of the batch's buffers."""
    flat = [flattened(batch.column(name))[0] for name in _LISTS]
    weights = flattened(batch.column(c.WEIGHT))[0]
    chosen = flattened(batch.column(_CHOSEN))[0] if _CHOSEN in batch.schema.names else None
    for start, end in pairwise(flattened(batch.column(c.ITEMS))[1]):
        mine = weights[start:end]
        extra = (None if np.all(mine == 1) else mine, None if chosen is None else chosen[start:end])
        yield History._make([*(values[start:end] for values in flat), *extra])


def flattened(column: pa.ListArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """(values, offsets from 0) of a list column without nulls, whatever slice of a buffer it is."""
    offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    return column.flatten().to_numpy(zero_copy_only=False), offsets - offsets[0]


class _Rows:
    """Rows of many users, gathered column by column."""

    def __init__(self) -> None:
        self.heads: list[tuple[int, int, int, str, str, float]] = []
        self.values: dict[str, list[npt.NDArray[Any]]] = {c.ITEMS: [], c.ACTIONS: [], c.TIMES: []}

    def add(self, user: int, history: History, rows: list[Row]) -> None:
        for row in rows:
            at = row.cut.positions
            self.heads.append((user, len(at), row.cut.loss_from, row.split, row.source, row.weight))
            self.values[c.ITEMS].append(history.items[at])
            self.values[c.ACTIONS].append(history.actions[at])
            self.values[c.TIMES].append(history.times[at])

    def to_arrow(self) -> pa.RecordBatch:
        names = (c.USER, c.N, c.LOSS_FROM, c.SPLIT, c.SOURCE, c.WEIGHT)
        columns = {name: [head[index] for head in self.heads] for index, name in enumerate(names)}
        arrays = [pa.array(columns[name], schemas.EXAMPLES.field(name).type) for name in names]
        offsets = pa.array(np.concatenate([[0], np.cumsum(columns[c.N], dtype=np.int64)]).astype(np.int32))
        for name, parts in self.values.items():
            kind = schemas.EXAMPLES.field(name).type
            flat = np.concatenate(parts) if parts else np.empty(0, dtype=kind.value_type.to_pandas_dtype())
            arrays.append(pa.ListArray.from_arrays(offsets, pa.array(flat, kind.value_type)))
        return pa.RecordBatch.from_arrays(arrays, [*names, *self.values])
