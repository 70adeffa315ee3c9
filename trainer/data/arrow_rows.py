"""A row group's Arrow table as Rows, straight from its buffers; what breaks the contract is named."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.rows import Array, Columns, Rows, Tokens

ROW_COLUMNS: Final = (c.USER, c.N, c.LOSS_FROM, c.WEIGHT, c.ITEMS, c.ACTIONS, c.TIMES)
"""What the trainer reads of `schemas.EXAMPLES`; split and source stay in the files."""


def rows_of(table: pa.Table, where: str) -> Rows:
    """The table's rows, their tokens without a copy where Arrow allows it. DataContractError naming `where` on nulls, on lists
    whose length is not `n`, and on `loss_from` outside [0, n)."""
    for name in ROW_COLUMNS:
        if table.column(name).null_count:
            raise _broken(where, f"column {name} holds {table.column(name).null_count} nulls")
    lists = [_list(table, name, where) for name in (c.ITEMS, c.ACTIONS, c.TIMES)]
    columns = Columns(*(table.column(name).to_numpy() for name in (c.USER, c.LOSS_FROM, c.WEIGHT, c.N)))
    offsets = [found for _, found in lists]
    rows = Rows.of(columns, offsets, Tokens(*(values for values, _ in lists)))
    if rows is None:
        raise _fault(columns, offsets, where)
    return rows


def _fault(columns: Columns, offsets: Sequence[Array], where: str) -> DataContractError:
    """What is wrong with rows that are not fine, the first of them named."""
    stated, loss_from = columns.stated, columns.loss_from
    for found in offsets:
        if (bad := np.diff(found) != stated).any():
            return _counted(bad, where, "a list whose length is not its n", stated)
    if (bad := (loss_from < 0) | (loss_from >= stated)).any():
        return _counted(bad, where, "loss_from outside [0, n)", loss_from)
    return _broken(where, "items, actions and times do not share their offsets")


def _list(table: pa.Table, name: str, where: str) -> tuple[Array, Array]:
    """(values, offsets [B + 1] into them)"""
    column = table.column(name)
    # A row group is one chunk nearly always; concatenating even one would copy it.
    chunk = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([*column.chunks, pa.array([], column.type)])
    values = chunk.values
    if values.null_count:
        raise _broken(where, f"column {name} holds {values.null_count} nulls inside its lists")
    return values.to_numpy(), chunk.offsets.to_numpy()


def _counted(bad: Array, where: str, what: str, values: Array) -> DataContractError:
    row = int(np.argmax(bad))
    return _broken(where, f"{int(bad.sum())} rows have {what}, the first is row {row} ({int(values[row])})")


def _broken(where: str, what: str) -> DataContractError:
    return DataContractError(f"{where}: {what}", "build the training set again (stage build_training_set)")
