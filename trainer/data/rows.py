"""Training rows as flat numpy arrays, straight from Arrow buffers: no Python loop ever runs over rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_store.contracts import columns as c
from feature_store.contracts.errors import DataContractError
from trainer.data.plan import Indices

ROW_COLUMNS: Final = (c.USER, c.N, c.LOSS_FROM, c.WEIGHT, c.ITEMS, c.ACTIONS, c.TIMES)
"""What the trainer reads of `schemas.EXAMPLES`; split and source stay in the files."""
WIDTHS: Final = {
    "offsets": np.dtype(np.int32),
    "items": np.dtype(np.int32),
    "actions": np.dtype(np.int8),
    "times": np.dtype(np.int64),
    "loss_from": np.dtype(np.int32),
    "users": np.dtype(np.int32),
    "weight": np.dtype(np.float32),
}
"""Of the arrays of Rows, in the order of `places`: those of the files."""
PART: Final = 32
"""A place is part << PART | row."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """B rows over T tokens. Row b owns tokens [offsets[b], offsets[b + 1])."""

    users: Array
    loss_from: Array
    weight: Array
    offsets: Array
    items: Array
    actions: Array
    times: Array

    def __post_init__(self) -> None:
        for name, width in WIDTHS.items():
            values = getattr(self, name)
            if values.dtype != width or not values.flags.c_contiguous:
                raise TypeError(f"{name} is {values.dtype}, not {width} in one piece")
        if not (len(self) == len(self.loss_from) == len(self.weight) == len(self.offsets) - 1):
            raise ValueError(f"{len(self)} users, {len(self.loss_from)} loss_from, {len(self.weight)} weights")
        if not len(self.items) == len(self.actions) == len(self.times):
            raise ValueError(f"{len(self.items)} items, {len(self.actions)} actions, {len(self.times)} times")

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def places(self) -> Indices:
        """[1, 9] where each array stands in memory, rows, tokens: what `_gather` reads. True while the rows live."""
        address = [getattr(self, name).__array_interface__["data"][0] for name in WIDTHS]
        return np.array([[*address, len(self), len(self.items)]], np.int64)


@dataclass(frozen=True)
class Chosen:
    """B rows of one or several `Rows` in an order of their own. Tokens stay where they are."""

    parts: tuple[Rows, ...]
    index: Indices
    """[B] part << PART | row."""
    lengths: Array

    def __len__(self) -> int:
        return len(self.index)

    def take(self, places: Indices | slice) -> "Chosen":
        """The rows at `places` of these, in that order."""
        if isinstance(places, slice):
            return Chosen(self.parts, self.index[places], self.lengths[places])
        # `take` is twice as fast as indexing, but copies what a slice would only view.
        return Chosen(self.parts, self.index.take(places), self.lengths.take(places))


def chosen(rows: Rows, order: Indices | None = None) -> Chosen:
    """The rows at `order`; all of them as they stand without it."""
    lengths = np.diff(rows.offsets)
    if order is None:
        return Chosen((rows,), np.arange(len(rows)), lengths)
    return Chosen((rows,), order, lengths.take(order))


def joined(several: Sequence[Chosen]) -> Chosen:
    """All of them, in order."""
    if len(several) == 1:
        return several[0]
    shifts = np.cumsum([0, *(len(one.parts) for one in several)])
    return Chosen(
        parts=tuple(part for one in several for part in one.parts),
        index=np.concatenate([one.index + (shift << PART) for one, shift in zip(several, shifts[:-1], strict=True)]),
        lengths=np.concatenate([one.lengths for one in several]),
    )


def rows_of(table: pa.Table, where: str) -> Rows:
    """The table's rows without a copy where Arrow allows it. DataContractError naming `where` on nulls, on lists whose length
    is not `n`, and on `loss_from` outside [0, n)."""
    for name in ROW_COLUMNS:
        if table.column(name).null_count:
            raise _broken(where, f"column {name} holds {table.column(name).null_count} nulls")
    items, offsets = _list(table, c.ITEMS, where)
    actions, *others = _list(table, c.ACTIONS, where)
    times, *more = _list(table, c.TIMES, where)
    loss_from, stated = _plain(table, c.LOSS_FROM), _plain(table, c.N)
    shared = all(np.array_equal(offsets, found) for found in (*others, *more))
    for found in (offsets,) if shared else (offsets, *others, *more):
        _refuse(np.diff(found) != stated, where, "a list whose length is not its n", stated)
    if not shared:
        raise _broken(where, "items, actions and times do not share their offsets")
    _refuse((loss_from < 0) | (loss_from >= stated), where, "loss_from outside [0, n)", loss_from)
    return Rows(
        users=_plain(table, c.USER),
        loss_from=loss_from,
        weight=_plain(table, c.WEIGHT),
        offsets=offsets,
        items=items,
        actions=actions,
        times=times,
    )


def offsets_of(lengths: Array) -> Indices:
    """[B + 1] offsets of lists laid end to end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def token_index(starts: Indices, lengths: Indices) -> Indices:
    """Where the tokens of the lists stand in the flat array, list after list."""
    offsets = offsets_of(lengths)
    index: Indices = np.repeat(starts - offsets[:-1], lengths)
    index += np.arange(offsets[-1])
    return index


def _plain(table: pa.Table, name: str) -> Array:
    result: Array = table.column(name).to_numpy()
    return result


def _list(table: pa.Table, name: str, where: str) -> tuple[Array, Array]:
    """(values, offsets [B + 1] into them)"""
    column = table.column(name)
    # A row group is one chunk nearly always; concatenating even one would copy it.
    chunk = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([*column.chunks, pa.array([], column.type)])
    values = chunk.values
    if values.null_count:
        raise _broken(where, f"column {name} holds {values.null_count} nulls inside its lists")
    return values.to_numpy(), chunk.offsets.to_numpy()


def _refuse(bad: Array, where: str, what: str, values: Array) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise _broken(where, f"{int(bad.sum())} rows have {what}, the first is row {row} ({int(values[row])})")


def _broken(where: str, what: str) -> DataContractError:
    return DataContractError(f"{where}: {what}", "build the training set again (stage build_training_set)")
