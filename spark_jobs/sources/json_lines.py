"""JSON lines in streaming batches. Numbers travel as their own text, so 2^53 + 1 and 1.0 stay what they were."""

import gzip
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.dialect import encoding_of, not_of_encoding, open_text
from nightrank.spark_jobs.sources.formats import DETECT, Reading
from nightrank.spark_jobs.sources.json_array import elements, is_array
from nightrank.spark_jobs.sources.json_values import DECODER, FAMILIES
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import BATCH_ROWS, Family, RawBatch
from nightrank.spark_jobs.sources.selection import UNUSED, choose, exploded_rows, value_at


def read(file: Path, columns: Sequence[str] | None, notes: Notes, how: Reading = DETECT) -> Iterator[RawBatch]:
    """One object a line, or an array of objects; a key an object leaves out is null there.

    Every wanted key must be in the first batch once. Memory is bounded by one batch.
    """
    encoding = how.encoding or encoding_of(file, notes)
    wanted: list[str] | None = None
    known: set[str] = set()
    try:
        with open_text(file, encoding) as handle:
            for first_row, rows in _batches(file, handle, notes):
                if how.explode is not None:
                    rows = exploded_rows(rows, how.explode, notes)
                present = list(dict.fromkeys(key for row in rows for key in row))
                if wanted is None:
                    known.update(present)
                    wanted = choose(file, _with_paths(rows, present, columns), columns, notes)
                elif columns is not None:
                    _unused(present, wanted, notes, known)
                yield _batch(file, first_row, rows, wanted)
    except UnicodeDecodeError as error:
        raise not_of_encoding(file, encoding, error) from None
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataContractError(f"{file}: not a complete gzip file ({error})", "copy or write it again") from None


def _batches(file: Path, handle: Any, notes: Notes) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    if is_array(handle):
        notes.detect("a JSON array", file.name)
        objects, first = elements(file, handle), 1
        while rows := list(islice(objects, BATCH_ROWS)):
            yield first, rows
            first += len(rows)
        return
    first = 1
    while lines := list(islice(handle, BATCH_ROWS)):
        yield first, [_parse(file, first + i, line) for i, line in enumerate(lines) if line.strip()]
        first += len(lines)


def _parse(file: Path, row: int, line: str) -> dict[str, Any]:
    try:
        value = DECODER.decode(line.strip())
    except json.JSONDecodeError as error:
        raise DataContractError(
            f"{file}: line {row} is not JSON: {error.msg} at column {error.colno}", "fix the line; each line is one JSON object"
        ) from None
    if not isinstance(value, dict):
        raise DataContractError(
            f"{file}: line {row} is {FAMILIES.get(type(value), 'null')}, not an object", "write one JSON object per line"
        )
    return value


def _with_paths(rows: list[dict[str, Any]], present: list[str], columns: Sequence[str] | None) -> list[str]:
    """The keys that are there, without roots that only hold wanted fields: a missing `user.id` is missing."""
    dotted = [name for name in columns or () if name not in present and "." in name]
    found = [name for name in dotted if any(value_at(row, name) is not None for row in rows)]
    missing_roots = {name.split(".")[0] for name in dotted if name not in found}
    used_roots = {name.split(".")[0] for name in found}
    kept = [name for name in present if name not in used_roots and name not in missing_roots]
    return [*kept, *found]


def _unused(present: list[str], wanted: list[str], notes: Notes, known: set[str]) -> None:
    """Note keys that come up later and are not used."""
    known |= {*wanted, *(name.split(".")[0] for name in wanted)}
    for name in present:
        if name not in known:
            known.add(name)
            notes.warn(UNUSED, name=name)


def _batch(file: Path, first_row: int, rows: list[dict[str, Any]], wanted: list[str]) -> RawBatch:
    arrays, families = [], {}
    for name in wanted:
        values = [value_at(row, name) for row in rows] if "." in name else [row.get(name) for row in rows]
        family = _family(file, first_row, name, values)
        families[name] = family
        arrays.append(_array(values, family))
    return RawBatch(file, first_row, pa.table(arrays, names=wanted), families)


def _family(file: Path, first_row: int, name: str, values: list[Any]) -> Family:
    found: dict[Family, int] = {}
    for index, value in enumerate(values):
        if value is not None:
            found.setdefault(FAMILIES[type(value)], index)
    if found.keys() <= {"integer", "float"}:
        return "float" if "float" in found else "integer" if found else "null"
    if len(found) > 1:
        first, second = sorted(found.items(), key=lambda item: item[1])[:2]
        raise DataContractError(
            f"{file}: column {name}: line {first_row + second[1]} holds {second[0]}, line {first_row + first[1]} {first[0]}",
            "write the column with one type and import again",
        )
    return next(iter(found))


def _array(values: list[Any], family: Family) -> pa.Array:
    if family == "list":
        return pa.array([None if v is None else [_text(x) for x in v] for v in values], pa.list_(pa.string()))
    if family == "map":
        pairs = [None if v is None else [(str(k), _text(x)) for k, x in v.items() if x is not None] for v in values]
        return pa.array(pairs, pa.map_(pa.string(), pa.string()))
    return pa.array([None if v is None or v == "" else _text(v) for v in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
