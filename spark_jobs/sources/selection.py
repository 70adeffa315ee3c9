"""Which columns of a file are read, and fields inside of nested ones by their dotted path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import missing

UNUSED: Final = "columns the import does not use were ignored"
EMPTY_LIST: Final = "rows whose list is empty or missing gave no event"


def choose(file: Path, present: Sequence[str], wanted: Sequence[str] | None, notes: Notes) -> list[str]:
    """The columns to read of a file. A wanted one that is missing is an error, one too many is a counted warning."""
    twice = sorted({name for name in present if list(present).count(name) > 1})
    if twice:
        raise DataContractError(f"{file}: column {twice[0]} is in the header twice", "give every column a different name")
    if wanted is None:
        return list(present)
    absent = [name for name in dict.fromkeys(wanted) if root_of(name, present) is None]
    if absent:
        raise missing(file, absent, present)
    used = {root_of(name, present) for name in wanted}
    for name in present:
        if name not in used:
            notes.warn(UNUSED, name=name)
    return list(dict.fromkeys(wanted))


def root_of(name: str, present: Sequence[str]) -> str | None:
    """The column of the file that holds `name`: itself, or the longest `a.b` of `a.b.c` that is there."""
    parts = name.split(".")
    candidates = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((part for part in candidates if part in present), None)


def value_at(row: dict[str, Any], name: str) -> Any:
    """The value at a dotted path of a JSON object; None where the path ends early."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def exploded_rows(rows: list[dict[str, Any]], path: str, notes: Notes) -> list[dict[str, Any]]:
    """One object for every element of the list at `path`, which is then that element."""
    result = []
    for row in rows:
        elements = value_at(row, path)
        elements = elements if isinstance(elements, list) else [] if elements is None else [elements]
        if not elements:
            notes.warn(EMPTY_LIST, name=path)
        result += [with_value(row, path, element) for element in elements]
    return result


def with_value(row: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the object with `value` at the path."""
    head, dot, rest = path.partition(".")
    if path in row or not dot:
        return {**row, path: value}
    inner = row.get(head)
    return {**row, head: with_value(inner if isinstance(inner, dict) else {}, rest, value)}


def exploded_table(table: pa.Table, name: str, notes: Notes, file: Path) -> pa.Table:
    """One row for every element of the list column `name`, which is then that element."""
    column = table.column(name).combine_chunks()
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise DataContractError(f"{file}: column {name} holds {column.type}, not a list", "`explode:` names a column of lists")
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    if empty := pc.sum(pc.equal(lengths, 0)).as_py():
        notes.warn(EMPTY_LIST, empty, name)
    rows = table.take(pc.list_parent_indices(column))
    return rows.set_column(rows.schema.get_field_index(name), name, pc.list_flatten(column))


def field_at(table: pa.Table, name: str, file: Path) -> pa.Array:
    """The column at a dotted path: a column of the table, or a field inside of struct columns."""
    root = root_of(name, table.column_names)
    assert root is not None, f"{name} was not chosen"
    array = table.column(root).combine_chunks()
    array = pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array
    for part in name[len(root) + 1 :].split(".") if name != root else ():
        if not pa.types.is_struct(array.type) or array.type.get_field_index(part) < 0:
            raise missing(file, [name], table.column_names)
        array = pc.struct_field(array, [array.type.get_field_index(part)])
    return array
