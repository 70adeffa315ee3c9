"""Ids and texts to landing types, row by row: what cannot be read becomes null and keeps its raw text; no row is dropped."""

import uuid
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.spark_jobs.sources.formats import IdFormat, IdType
from nightrank.spark_jobs.sources.raw import RawColumn

__all__ = ["Cells", "IdType", "as_text", "ids", "raw_where", "without_words"]
INTEGER: Final = r"^[+-]?[0-9]+$"
FLOAT_OF_INTEGER: Final = r"^[+-]?[0-9]+\.0*$"
UUID_BYTES: Final = 16
_TEXT_NULL: Final = pa.scalar(None, pa.string())
_LOST_DIGITS: Final = "floats are not exact above 2^53, so ids may already be damaged: export the ids as integers or text"


@dataclass(frozen=True)
class Cells:
    """`values` in the landing type; `raw` the text of each cell that could not be read, null elsewhere (None: no such)."""

    values: pa.Array
    raw: pa.Array | None = None
    wrong: pa.Array | None = None
    """True for an invalid id; errors must not show it, because ids can be personal."""
    reason: str = "not readable"
    trimmed: int = 0
    """Ids that had spaces around them."""
    words: int = 0
    """Cells that held a word for "missing"."""

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
        return pc.if_else(pc.equal(text, ""), _TEXT_NULL, text)
    if column.family == "null":
        return pa.nulls(len(values), pa.string())
    if column.family in ("list", "map", "binary"):
        if pa.types.is_string(values.type):
            return values
        raise column.refuse(f"holds {values.type}, which is not a single value", "write it as text or as a number")
    return values if pa.types.is_string(values.type) else pc.cast(values, pa.string())


def without_words(text: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    """The text, with null where a cell holds only a word for "missing"."""
    if not missing:
        return text
    found = pc.is_in(text, pa.array(missing, pa.string()))
    return pc.if_else(found, _TEXT_NULL, text) if pc.any(found).as_py() else text


def ids(column: RawColumn, how: IdFormat) -> Cells:
    """Ids as text, int64 ones in decimal form: 2^53 + 1 survives, floats are refused.

    An id that is not a 64-bit integer is kept, and ingest quarantines it with its own reason.
    """
    if _uuids(column):
        texts = [None if cell is None else str(uuid.UUID(bytes=cell)) for cell in column.values.to_pylist()]
        return Cells(pa.array(texts, pa.string()))
    if column.family in ("float", "boolean", "time", "binary") or _fractional(column.values.type):
        raise column.refuse(f"ids are {column.values.type if column.family != 'float' else 'floats'}", _LOST_DIGITS)
    given = as_text(column)
    text, trimmed = _trimmed(given) if how.trim and column.family == "text" else (given, 0)
    plain = without_words(text, how.missing) if column.family == "text" else text
    words = plain.null_count - text.null_count
    _refuse_floats_as_text(column, plain, how.type)
    return _integers(plain, trimmed, words) if how.type == "int64" else _strings(plain, trimmed, words)


def _trimmed(text: pa.Array) -> tuple[pa.Array, int]:
    bare = pc.utf8_trim_whitespace(text)
    changed = pc.sum(pc.not_equal(bare, text)).as_py() or 0
    return (pc.if_else(pc.equal(bare, ""), _TEXT_NULL, bare), changed) if changed else (text, 0)


def _strings(text: pa.Array, trimmed: int, words: int) -> Cells:
    """A NUL byte comes from a damaged file, never from a shop: such an id counts as missing."""
    damaged = pc.fill_null(pc.match_substring(text, "\0"), False)
    if not pc.any(damaged).as_py():
        return Cells(text, trimmed=trimmed, words=words)
    return Cells(pc.if_else(damaged, _TEXT_NULL, text), None, damaged, "damaged (a NUL byte)", trimmed, words)


def _integers(text: pa.Array, trimmed: int, words: int) -> Cells:
    readable = pc.match_substring_regex(text, INTEGER)
    digits = pc.utf8_length(pc.utf8_ltrim(text, characters="+-0"))
    # 19 digits may or may not fit into 64 bits: compare them as text, which is exact.
    magnitude = pc.utf8_lpad(pc.utf8_ltrim(text, characters="+-0"), 19, "0")
    fits = pc.and_(pc.less_equal(digits, 19), pc.less_equal(magnitude, str(2**63 - 1)))
    good = pc.and_(readable, fits)
    bare = pc.utf8_ltrim(text, characters="+")
    numbers = pc.cast(pc.if_else(good, bare, _TEXT_NULL), pa.int64())
    wrong = pc.and_(pc.is_valid(text), pc.is_null(numbers))
    values = pc.coalesce(pc.cast(numbers, pa.string()), text)
    return Cells(values, None, wrong, "no 64-bit integer", trimmed, words)


def _refuse_floats_as_text(column: RawColumn, text: pa.Array, id_type: IdType) -> None:
    """`17.0` in a CSV is what a nullable integer column becomes on the way through a float."""
    floats = pc.fill_null(pc.match_substring_regex(text, FLOAT_OF_INTEGER), False)
    number = pc.sum(floats).as_py() or 0
    filled = len(text) - text.null_count
    if number and (id_type == "int64" or number == filled):
        index = pc.index(floats, True).as_py()
        raise column.refuse("the id is written as a float (digits, a point, zeros)", _LOST_DIGITS, index)


def _uuids(column: RawColumn) -> bool:
    kind = column.values.type
    return bool(pa.types.is_fixed_size_binary(kind) and kind.byte_width == UUID_BYTES)


def _fractional(kind: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(kind) and kind.scale != 0)


def raw_where(text: pa.Array, good: pa.Array) -> pa.Array | None:
    """The text where a cell is filled and not good."""
    bad = pc.and_(pc.is_valid(text), pc.invert(pc.fill_null(good, False)))
    if not pc.any(bad).as_py():
        return None
    return pc.if_else(bad, text, _TEXT_NULL)
