"""Cells to landing types, row by row: what cannot be read becomes null (or NaN) and keeps its raw text; no row is dropped."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.spark_jobs.sources.raw import RawColumn

IdType = Literal["string", "int64"]
INTEGER: Final = r"^[+-]?[0-9]+$"
FLOAT_OF_INTEGER: Final = r"^[+-]?[0-9]+\.0*$"
_LOST_DIGITS: Final = (
    "a float has no exact value above 2^53, so ids may already be damaged: write the ids as integers or text from their origin"
)


@dataclass(frozen=True)
class Cells:
    """`values` in the landing type; `raw` the text of each cell that could not be read, null elsewhere (None: no such)."""

    values: pa.Array
    raw: pa.Array | None = None
    wrong: pa.Array | None = None
    """True for an id that stays as it was written though it is none; `raw` may not repeat it, ids can be personal."""

    @property
    def faulty(self) -> pa.Array:
        """True in the rows whose cell was filled and could not be read."""
        if self.raw is not None:
            return pc.is_valid(self.raw)
        return self.wrong if self.wrong is not None else pa.array(np.zeros(len(self.values), bool))


def as_text(column: RawColumn) -> pa.Array:
    """Any scalar column as text, exactly; nulls and empty cells stay null."""
    values = column.values
    if column.family == "text":
        text = values if values.type == pa.string() else pc.cast(values, pa.string())
        return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    if column.family == "null":
        return pa.nulls(len(values), pa.string())
    if column.family in ("list", "map", "binary"):
        if pa.types.is_string(values.type):
            return values
        raise column.refuse(f"holds {values.type}, which is no single value", "write it as text or as a number")
    return values if pa.types.is_string(values.type) else pc.cast(values, pa.string())


def ids(column: RawColumn, id_type: IdType) -> Cells:
    """Ids as text, int64 ones in decimal form: 2^53 + 1 survives, floats are refused.

    Text that is no 64-bit integer where ids should be stays as it is, for ingest to quarantine by its own reason.
    """
    if column.family in ("float", "boolean", "time", "binary") or _fractional(column.values.type):
        raise column.refuse(f"ids are {column.values.type if column.family != 'float' else 'floats'}", _LOST_DIGITS)
    text = as_text(column)
    _refuse_floats_as_text(column, text, id_type)
    return _integers(text) if id_type == "int64" else Cells(text)


def _integers(text: pa.Array) -> Cells:
    readable = pc.match_substring_regex(text, INTEGER)
    digits = pc.utf8_length(pc.utf8_ltrim(text, characters="+-0"))
    # 19 digits may or may not fit into 64 bits: compare them as text, which is exact.
    magnitude = pc.utf8_lpad(pc.utf8_ltrim(text, characters="+-0"), 19, "0")
    fits = pc.and_(pc.less_equal(digits, 19), pc.less_equal(magnitude, str(2**63 - 1)))
    good = pc.and_(readable, fits)
    bare = pc.utf8_ltrim(text, characters="+")
    numbers = pc.cast(pc.if_else(good, bare, pa.scalar(None, pa.string())), pa.int64())
    wrong = pc.and_(pc.is_valid(text), pc.is_null(numbers))
    return Cells(pc.coalesce(pc.cast(numbers, pa.string()), text), wrong=wrong)


def _refuse_floats_as_text(column: RawColumn, text: pa.Array, id_type: IdType) -> None:
    """`17.0` in a CSV is what a nullable integer column becomes on the way through a float."""
    floats = pc.fill_null(pc.match_substring_regex(text, FLOAT_OF_INTEGER), False)
    number = pc.sum(floats).as_py() or 0
    filled = len(text) - text.null_count
    if number and (id_type == "int64" or number == filled):
        index = pc.index(floats, True).as_py()
        raise column.refuse("the id is written as a float (digits, a point, zeros)", _LOST_DIGITS, index)


def _fractional(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) and kind.scale != 0)


def numbers(column: RawColumn) -> Cells:
    """float64; NaN stays NaN, text that is no number becomes NaN with its raw text, so that it is seen and not averaged in."""
    if column.family in ("time", "list", "map", "binary"):
        raise column.refuse(f"holds {column.family} where a number is expected", "name another column in the mapping")
    if not pa.types.is_string(column.values.type) and column.family != "text":
        return Cells(pc.cast(column.values, pa.float64()))
    text = pc.utf8_trim_whitespace(as_text(column))
    try:
        return Cells(pc.cast(text, pa.float64()))
    except pa.ArrowInvalid:
        parsed = [_number(value) for value in text.to_pylist()]
    good = pa.array([value is not None for value in parsed])
    values = [float("nan") if bad else value for bad, value in zip(pc.invert(good).to_pylist(), parsed, strict=True)]
    array = pc.if_else(pc.is_valid(text), pa.array(values, pa.float64()), pa.scalar(None, pa.float64()))
    return Cells(array, raw_where(text, good))


def whole_numbers(column: RawColumn) -> Cells:
    """int32; anything else becomes null with its raw text."""
    text = as_text(column)
    found = numbers(column)
    good = pc.and_(pc.is_finite(found.values), pc.equal(pc.floor(found.values), found.values))
    good = pc.and_(good, pc.less(pc.abs(found.values), 2**31))
    values = pc.cast(pc.if_else(good, found.values, pa.scalar(None, pa.float64())), pa.int32())
    return Cells(values, raw_where(text, good))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def raw_where(text: pa.Array, good: pa.Array) -> pa.Array | None:
    """The text where a cell is filled and not good."""
    bad = pc.and_(pc.is_valid(text), pc.invert(pc.fill_null(good, False)))
    if not pc.any(bad).as_py():
        return None
    return pc.if_else(bad, text, pa.scalar(None, pa.string()))
