"""JSON lines in streaming batches. Numbers travel as their own text, so 2^53 + 1 and 1.0 stay what they were."""

import gzip
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.csv_files import open_text
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import BATCH_ROWS, Family, RawBatch, choose


class _Integer(str):
    __slots__ = ()


class _Float(str):
    __slots__ = ()


_DECODER: Final = json.JSONDecoder(parse_int=_Integer, parse_float=_Float, parse_constant=_Float)
_FAMILIES: Final[dict[type, Family]] = {
    str: "text",
    _Integer: "integer",
    _Float: "float",
    bool: "boolean",
    list: "list",
    dict: "map",
}


def read(file: Path, columns: Sequence[str] | None, notes: Notes) -> Iterator[RawBatch]:
    """One object a line; a key a line leaves out is null there, but every wanted key must be in the first batch once."""
    first_row, wanted = 1, None
    try:
        with open_text(file) as handle:
            while lines := list(islice(handle, BATCH_ROWS)):
                rows = [_parse(file, first_row + i, line) for i, line in enumerate(lines) if line.strip()]
                present = list(dict.fromkeys(key for row in rows for key in row))
                if wanted is None:
                    wanted = choose(file, present, columns, notes)
                elif set(present) - set(wanted):
                    choose(file, [*wanted, *sorted(set(present) - set(wanted))], wanted, notes)
                yield _batch(file, first_row, rows, wanted)
                first_row += len(lines)
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise DataContractError(f"{file}: not readable as UTF-8 text: {error}", "write the file again as UTF-8") from None


def _parse(file: Path, row: int, line: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(line.strip())
    except json.JSONDecodeError as error:
        raise DataContractError(
            f"{file}: line {row} is not JSON: {error.msg} at column {error.colno}", "one JSON object a line; mend the line"
        ) from None
    if not isinstance(value, dict):
        raise DataContractError(f"{file}: line {row} is a JSON {type(value).__name__}, not an object", "one object a line")
    return value


def _batch(file: Path, first_row: int, rows: list[dict[str, Any]], wanted: list[str]) -> RawBatch:
    arrays, families = [], {}
    for name in wanted:
        values = [row.get(name) for row in rows]
        family = _family(file, first_row, name, values)
        families[name] = family
        arrays.append(_array(values, family))
    return RawBatch(file, first_row, pa.table(arrays, names=wanted), families)


def _family(file: Path, first_row: int, name: str, values: list[Any]) -> Family:
    found: dict[Family, int] = {}
    for index, value in enumerate(values):
        if value is not None:
            found.setdefault(_FAMILIES[type(value)], index)
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
