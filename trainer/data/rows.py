"""Training rows as flat numpy arrays, straight from Arrow buffers: no Python loop ever runs over rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_store.contracts import columns as c
from feature_store.contracts.errors import DataContractError
from trainer.data.plan import Indices

ROW_COLUMNS: Final = (c.USER, c.N, c.LOSS_FROM, c.WEIGHT, c.ITEMS, c.ACTIONS, c.TIMES)
"""What the trainer reads of `schemas.EXAMPLES`; split and source stay in the files."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """B rows over T tokens. Row b owns tokens [starts[b], starts[b] + lengths[b]); integer widths are those of the files."""

    users: Array
    loss_from: Array
    weight: Array
    starts: Indices
    lengths: Indices
    items: Array
    actions: Array
    times: Array

    def __len__(self) -> int:
        return len(self.users)


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
    starts, lengths = offsets[:-1].astype(np.int64), stated.astype(np.int64)
    return Rows(_plain(table, c.USER), loss_from, _plain(table, c.WEIGHT), starts, lengths, items, actions, times)


def concatenated(parts: Sequence[Rows]) -> Rows:
    """All rows of the parts, in order, in one set of buffers. A part that uses little of its own is compacted first."""
    if len(parts) == 1:
        return parts[0]
    parts = [part if 2 * part.lengths.sum() >= len(part.items) else compacted(part) for part in parts]
    shifts = np.cumsum([0, *(len(part.items) for part in parts)])
    return Rows(
        users=np.concatenate([part.users for part in parts]),
        loss_from=np.concatenate([part.loss_from for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        starts=np.concatenate([part.starts + shift for part, shift in zip(parts, shifts[:-1], strict=True)]),
        lengths=np.concatenate([part.lengths for part in parts]),
        items=np.concatenate([part.items for part in parts]),
        actions=np.concatenate([part.actions for part in parts]),
        times=np.concatenate([part.times for part in parts]),
    )


def selected(rows: Rows, index: Indices | slice) -> Rows:
    """The rows at `index`, in that order, as views on the same tokens; a slice copies nothing at all."""

    def of(values: Array) -> Array:
        # `take` is twice as fast as indexing, but copies what a slice would only view.
        return values[index] if isinstance(index, slice) else values.take(index)

    return Rows(
        users=of(rows.users),
        loss_from=of(rows.loss_from),
        weight=of(rows.weight),
        starts=of(rows.starts),
        lengths=of(rows.lengths),
        items=rows.items,
        actions=rows.actions,
        times=rows.times,
    )


def compacted(rows: Rows) -> Rows:
    """The same rows with tokens of their own, so that the buffers they were cut from can go."""
    offsets = offsets_of(rows.lengths)
    items, actions, times = gathered(rows, offsets)
    return Rows(
        users=rows.users,
        loss_from=rows.loss_from,
        weight=rows.weight,
        starts=offsets[:-1],
        lengths=rows.lengths,
        items=items,
        actions=actions,
        times=times,
    )


def gathered(rows: Rows, offsets: Indices) -> tuple[Array, Array, Array]:
    """(items, actions, times), row after row. `offsets` [B + 1] is where each row then begins, counted from any place."""
    index = token_index(rows.starts, rows.lengths, offsets)
    edges = np.concatenate([rows.starts, rows.starts + rows.lengths - 1])

    def of(values: Array) -> Array:
        # First every row's first and last token: many of these loads wait for memory at once, the gather's would one by one.
        values.take(edges if values.itemsize > 1 else rows.starts, mode="clip")
        # No index is outside, rows were checked against their offsets; without "clip" numpy gathers into a copy of `out`.
        out = np.empty(len(index), values.dtype)
        return values.take(index, out=out, mode="clip")

    return of(rows.items), of(rows.actions), of(rows.times)


def offsets_of(lengths: Indices) -> Indices:
    """[B + 1] offsets of lists laid end to end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def token_index(starts: Indices, lengths: Indices, offsets: Indices | None = None) -> Indices:
    """Where the tokens of the lists stand in the flat array, list after list; `offsets` [B + 1] of the lengths, if known."""
    offsets = offsets_of(lengths) if offsets is None else offsets
    index: Indices = np.repeat(starts - offsets[:-1], lengths)
    index += np.arange(offsets[0], offsets[-1])
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
