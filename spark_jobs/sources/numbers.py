"""Cells to float64 and int32: plain, with a decimal comma, thousands separators or a currency mark."""

import re
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.spark_jobs.sources.cells import Cells, as_text, raw_where, without_words
from nightrank.spark_jobs.sources.formats import NumberFormat
from nightrank.spark_jobs.sources.raw import RawColumn

REASON: Final = "no number"
PLAIN: Final = NumberFormat()
_NULL: Final = pa.scalar(None, pa.float64())
_TEXT_NULL: Final = pa.scalar(None, pa.string())
_MARK: Final = r"(\p{Sc}|[A-Z]{3})"
_SPACES: Final = "[\u00a0\u2007\u2009\u202f]"


def numbers(column: RawColumn, how: NumberFormat = PLAIN) -> Cells:
    """float64. Missing words and NaN are null; so is a cell that holds no finite number, which keeps its raw text."""
    if column.family in ("time", "list", "map", "binary"):
        raise column.refuse(f"holds {column.family} where a number is expected", "name another column in the mapping")
    if not pa.types.is_string(column.values.type) and column.family != "text":
        return _finite(pc.cast(column.values, pa.float64()), None)
    given = as_text(column)
    plain = how.decimal == "." and how.thousands is None and not how.currency
    if plain:
        try:
            return _finite(pc.cast(given, pa.float64()), given)
        except pa.ArrowInvalid:
            pass
    text = without_words(pc.utf8_trim_whitespace(given), how.missing)
    text = pc.if_else(pc.equal(text, ""), _TEXT_NULL, text)
    bare = text if plain else _plain(text, how)
    good = pc.match_substring_regex(bare, r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$")
    readable = pc.utf8_ltrim(pc.if_else(good, bare, _TEXT_NULL), characters="+")
    return _finite(pc.cast(readable, pa.float64()), text)


def whole_numbers(column: RawColumn, how: NumberFormat = PLAIN) -> Cells:
    """int32; anything else becomes null with its raw text."""
    found = numbers(column, how)
    text = without_words(as_text(column), how.missing)
    good = pc.and_(pc.equal(pc.floor(found.values), found.values), pc.less(pc.abs(found.values), 2**31))
    values = pc.cast(pc.if_else(pc.fill_null(good, False), found.values, _NULL), pa.int32())
    return Cells(values, raw_where(text, good), reason="not a whole number")


def _finite(values: pa.Array, text: pa.Array | None) -> Cells:
    """NaN is what data frames write for missing; an infinity is a fault."""
    inside = pc.fill_null(pc.is_finite(values), False)
    values = pc.if_else(inside, values, _NULL)
    if text is None or values.null_count == text.null_count:
        return Cells(values)
    words = pc.equal(pc.utf8_lower(text), "nan")
    return Cells(values, raw_where(text, pc.or_(inside, words)), reason=REASON)


def _plain(text: pa.Array, how: NumberFormat) -> pa.Array:
    """Texts of the user's format as plain numbers; those that are not of it stay as they are not to be read."""
    spaced = pc.replace_substring_regex(text, _SPACES, " ")
    if how.currency:
        spaced = pc.replace_substring_regex(spaced, rf"^([+-]?)\s*{_MARK}\s*|\s*{_MARK}$", r"\1")
    decimal = re.escape(how.decimal)
    whole = "[0-9]+"
    if how.thousands is not None:
        group = re.escape(how.thousands)
        whole = rf"([0-9]{{1,3}}({group}[0-9]{{3}})+|[0-9]+)"
    right = pc.match_substring_regex(spaced, rf"^[+-]?({whole}({decimal}[0-9]*)?|{decimal}[0-9]+)([eE][+-]?[0-9]+)?$")
    bare = pc.if_else(right, spaced, pa.scalar("unreadable"))
    if how.thousands is not None:
        bare = pc.replace_substring(bare, how.thousands, "")
    return pc.replace_substring(bare, how.decimal, ".")
