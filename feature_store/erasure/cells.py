"""Which rows and cells of a Parquet file are a user's, by the names of its columns.

- `user_id` or `user` as text: the row is the user's. A whole number in `user_id` is the raw id, one in `user` the dense id.
- `raw_id` beside `kind` or `field` that says `user`: a vocabulary. The row stays, the cell becomes the marker.
- `row` of the quarantine: the row is the user's if the JSON in it names him as its user.
Other columns are never compared: item "7" is not user "7".
"""

import json
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.erasure.user import USER, ErasedUser

KINDS: Final = (c.KIND, c.FIELD)
NAMED: Final = (c.USER_ID, c.USER)


def columns_read(schema: pa.Schema) -> list[str]:
    """The columns that tell; empty where the file cannot name a user."""
    named = [name for name in NAMED if name in schema.names]
    if c.RAW_ID in schema.names:
        named += [c.RAW_ID, *(name for name in KINDS if name in schema.names)]
    if {c.ROW, c.SOURCE_TABLE} <= {*schema.names}:
        named += [c.ROW, c.SOURCE_TABLE]
    return named


def rows_of(table: pa.Table, user: ErasedUser) -> pa.ChunkedArray:
    """[rows] True for a row that is the user's."""
    found = pa.chunked_array([pa.array([False] * table.num_rows, pa.bool_())])
    for name in NAMED:
        if name in table.column_names:
            found = pc.or_(found, _named(table[name], name, user))
    if {c.ROW, c.SOURCE_TABLE} <= {*table.column_names}:
        found = pc.or_(found, _in_json(table[c.ROW], user))
    return found


def cells_of(table: pa.Table, user: ErasedUser) -> pa.ChunkedArray | None:
    """[rows] True where `raw_id` is the user's; None where the table is no vocabulary."""
    kinds = [name for name in KINDS if name in table.column_names]
    if c.RAW_ID not in table.column_names or not kinds:
        return None
    of_users = pc.fill_null(pc.is_in(table[kinds[0]], value_set=pa.array([USER, c.USER_ID])), False)
    return pc.and_(of_users, user.is_in(table[c.RAW_ID]))


def without(table: pa.Table, user: ErasedUser) -> pa.Table:
    """The table without the user's rows, and with the marker in vocabularies. Other rows are the same, in the same order."""
    cells = cells_of(table, user)
    if cells is not None:
        place = table.column_names.index(c.RAW_ID)
        column = pc.if_else(cells, pa.scalar(user.marker, table.schema.field(place).type), table[c.RAW_ID])
        table = table.set_column(place, table.schema.field(place), column)
    rows = rows_of(table, user)
    return table.filter(pc.invert(rows)) if pc.any(rows).as_py() else table


def _named(column: pa.ChunkedArray, name: str, user: ErasedUser) -> Any:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return user.is_in(column)
    number = user.dense if name == c.USER else user.number
    if number is None or not pa.types.is_integer(kind):
        return pa.chunked_array([pa.array([False] * len(column), pa.bool_())])
    return pc.fill_null(pc.equal(column.cast(pa.int64()), number), False)


def _in_json(column: pa.ChunkedArray, user: ErasedUser) -> pa.ChunkedArray:
    names = [_user_of(text) for text in column.to_pylist()]
    return pa.chunked_array([user.is_in(pa.array(names, pa.string()))])


def _user_of(text: str | None) -> str | None:
    try:
        body = json.loads(text or "null")
    except ValueError:
        return None
    found = body.get(c.USER_ID) if isinstance(body, dict) else None
    return None if found is None else str(found)
