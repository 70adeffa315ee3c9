"""Landing tables out of single columns, and maps out of several: `context` and `attributes` are built without a row loop."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.schemas import STRING_MAP
from nightrank.spark_jobs.sources.cells import Cells, as_text
from nightrank.spark_jobs.sources.raw import RawColumn, family_of

RAW: Final = "_raw"
"""Key of `context` (events) and `attributes` (users): `column=text; …` of the cells of this row that could not be read."""
UNREAD: Final = "_unread"
"""The same for an amount: without it the event is an event all the same, so ingest keeps it."""


def conform(schema: pa.Schema, arrays: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """A table in `schema`; columns that are not given are null."""
    return pa.Table.from_arrays(
        [arrays[field.name] if field.name in arrays else pa.nulls(rows, field.type) for field in schema], schema=schema
    )


def conform_items(arrays: Mapping[str, pa.Array], rows: int) -> pa.Table:
    """As `conform`; without numbers there is no column of them, and the file is what it was before there were any."""
    schema = schemas.LANDING_ITEMS
    if c.NUMBERS not in arrays:
        schema = schema.remove(schema.get_field_index(c.NUMBERS))
    return conform(schema, arrays, rows)


def number_map(pairs: Sequence[tuple[str, pa.Array]], rows: int) -> pa.Array:
    """One map a row with all keys, from parallel columns of float64; what is missing is null."""
    width = len(pairs)
    values = pa.concat_arrays([array for _, array in pairs]).take(_row_major(rows, width))
    keys = pa.array([name for name, _ in pairs], pa.string()).take(pa.array(np.tile(np.arange(width), rows)))
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width, pa.int32())
    return pa.MapArray.from_arrays(offsets, keys, values).cast(schemas.NUMBER_MAP)


def text_map(pairs: Sequence[tuple[str, pa.Array]], rows: int) -> pa.Array:
    """One map a row from parallel text columns; a null value leaves its key out, a row without any is null."""
    if not pairs:
        return pa.nulls(rows, STRING_MAP)
    width = len(pairs)
    values = pa.concat_arrays([array for _, array in pairs]).take(_row_major(rows, width))
    keys = pa.DictionaryArray.from_arrays(
        pa.array(np.tile(np.arange(width, dtype=np.int32), rows)), pa.array([name for name, _ in pairs], pa.string())
    ).dictionary_decode()
    kept = pc.is_valid(values)
    counts = kept.to_numpy(zero_copy_only=False).reshape(rows, width).sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    masked = pa.array(offsets, mask=np.append(counts == 0, False))
    return pa.MapArray.from_arrays(masked, keys.filter(kept), values.filter(kept)).cast(STRING_MAP)


def _row_major(rows: int, width: int) -> pa.Array:
    return pa.array(np.arange(rows * width, dtype=np.int64).reshape(width, rows).T.ravel())


def map_columns(column: RawColumn) -> list[tuple[str, pa.Array]]:
    """The (key, text) columns one mapped column stands for: itself, a struct's fields, or a map's keys."""
    kind = column.values.type
    if pa.types.is_struct(kind):
        fields = zip([kind.field(i).name for i in range(kind.num_fields)], column.values.flatten(), strict=True)
        return [(name, as_text(_part(column, name, values))) for name, values in fields]
    if pa.types.is_map(kind):
        rows = [None if row is None else dict(row) for row in column.values.to_pylist()]
        names = sorted({str(key) for row in rows if row for key in row})
        return [
            (name, pa.array([None if not row or row.get(name) is None else str(row[name]) for row in rows], pa.string()))
            for name in names
        ]
    return [(column.name, as_text(column))]


def _part(column: RawColumn, name: str, values: pa.Array) -> RawColumn:
    return RawColumn(f"{column.name}.{name}", values, family_of(values.type), column.file, column.first_row)


def with_raw(pairs: Sequence[tuple[str, pa.Array]], cells: Mapping[str, Cells], rows: int) -> tuple[pa.Array, int]:
    """The map of a table, with `_raw` and `_unread` in the rows that have such cells, and the number of faulty rows."""
    unreadable = [(name, cell.raw) for name, cell in cells.items() if cell.raw is not None]
    marks = (
        (RAW, _joined([(name, raw) for name, raw in unreadable if name != c.VALUE])),
        (UNREAD, _joined([(name, raw) for name, raw in unreadable if name == c.VALUE])),
    )
    faulty = np.zeros(rows, bool)
    for cell in cells.values():
        faulty |= cell.faulty.to_numpy(zero_copy_only=False)
    return text_map([*pairs, *((key, raw) for key, raw in marks if raw is not None)], rows), int(faulty.sum())


def _joined(parts: Sequence[tuple[str, pa.Array]]) -> pa.Array | None:
    """`column=text; column=text` of every row's unreadable cells, null where all was read."""
    if not parts:
        return None
    named = [pc.binary_join_element_wise(pa.scalar(f"; {name}"), array, "=") for name, array in parts]
    # Not null_handling="skip": pyarrow 14 then loses the rows where every part is null.
    text = pc.binary_join_element_wise(*named, "", null_handling="replace", null_replacement="")
    text = pc.utf8_slice_codeunits(text, start=2, stop=None)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
