"""Numbers as times: seconds to nanoseconds since 1970, the unit stated or found from the size of a column's numbers."""

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.spark_jobs.sources.cells import as_text
from nightrank.spark_jobs.sources.formats import TimeFormat, Unit
from nightrank.spark_jobs.sources.raw import RawColumn

PER_SECOND: Final[dict[Unit, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
LONG: Final[dict[Unit, str]] = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
DIGITS: Final = r"^[+-]?[0-9]+(\.[0-9]*)?$"
COMPACT: Final = r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])(([01][0-9]|2[0-3])[0-5][0-9][0-5][0-9])?$"
"""`20240501` and `20240501123000`: in no unit a plausible time since 1970."""
_PLAUSIBLE: Final = r"^-?[0-9]{9,19}(\.[0-9]*)?$"
_UNTIL: Final[dict[Unit, float]] = {"s": 1e11, "ms": 1e14, "us": 1e17, "ns": float("inf")}
"""Seconds reach the year 5138 there; a larger number is of a finer unit, which is then past March 1973."""
_FARTHEST: Final = 253_402_300_800_000_000
"""Microseconds of the year 10000: past it a number was read in the wrong unit."""


def settled(column: RawColumn, how: TimeFormat) -> TimeFormat:
    """`how` with the unit of most of the column's numbers where it says none; unchanged where the column has no numbers."""
    if how.unit is not None or how.format not in ("auto", "epoch"):
        return how
    unit = unit_of(column, how)
    return how if unit is None else replace(how, unit=unit, detected=True)


def unit_of(column: RawColumn, how: TimeFormat) -> Unit | None:
    """The unit whose size most numbers of the column have; None without a number."""
    number = column.family in ("integer", "float", "decimal")
    if not number and column.family != "text":
        return None
    text = pc.utf8_trim_whitespace(as_text(column))
    taken = pc.match_substring_regex(text, DIGITS if number or how.format == "epoch" else _PLAUSIBLE)
    if how.format == "auto":
        taken = pc.and_not(taken, pc.match_substring_regex(text, COMPACT))
    sizes = pc.cast(text.filter(pc.fill_null(taken, False)), pa.float64())
    if len(sizes) == 0:
        return None
    counts = np.bincount(_unit_numbers(sizes), minlength=len(_UNTIL))
    return list(_UNTIL)[int(counts.argmax())]


def epoch_micros(text: pa.Array, how: TimeFormat) -> pa.Array:
    """int64 microseconds; null where it is not a number, is after the year 10000, or does not have the detected unit."""
    unit = how.unit or "s"
    plain = pc.match_substring_regex(text, r"^-?[0-9]{1,18}$")
    whole = pc.cast(pc.if_else(plain, text, pa.scalar(None, pa.string())), pa.int64())
    micros = _scaled(whole, unit)
    if pc.any(pc.invert(pc.fill_null(plain, True))).as_py():
        slow = [None if p or t is None else _decimal(t, unit) for p, t in zip(plain.to_pylist(), text.to_pylist(), strict=True)]
        micros = pc.coalesce(micros, pa.array(slow, pa.int64()))
    return _of_unit(text, micros, unit) if how.detected else micros


def _of_unit(text: pa.Array, micros: pa.Array, unit: Unit) -> pa.Array:
    """Null where the number has the size of another unit than most of its column."""
    known = pc.is_valid(micros)
    sizes = pc.cast(pc.if_else(known, text, "0"), pa.float64())
    other = pa.array(_unit_numbers(pc.fill_null(sizes, 0.0)) != list(_UNTIL).index(unit))
    return pc.if_else(pc.and_(other, known), pa.scalar(None, pa.int64()), micros)


def _unit_numbers(sizes: pa.Array) -> npt.NDArray[np.int64]:
    limits = list(_UNTIL.values())[:-1]
    found: npt.NDArray[np.int64] = np.searchsorted(limits, np.abs(sizes.to_numpy(zero_copy_only=False)), side="right")
    return found


def _scaled(whole: pa.Array, unit: Unit) -> pa.Array:
    factor = 1_000_000 // PER_SECOND[unit] if unit != "ns" else 0
    limit = _FARTHEST // factor if factor else 2**63 - 1
    safe = pc.if_else(pc.less(pc.abs(whole), limit), whole, pa.scalar(None, pa.int64()))
    return pc.multiply(safe, factor) if factor else pa.array(_floor_thousand(safe), pa.int64())


def _floor_thousand(values: pa.Array) -> pa.Array:
    floor = np.floor_divide(pc.fill_null(values, 0).to_numpy(zero_copy_only=False), 1_000)
    return pc.if_else(pc.is_valid(values), pa.array(floor), pa.scalar(None, pa.int64()))


def _decimal(text: str, unit: Unit) -> int | None:
    try:
        micros = Decimal(text) * 1_000_000 / PER_SECOND[unit]
        return int(micros) if abs(micros) < _FARTHEST else None
    except (InvalidOperation, ValueError, OverflowError):
        return None
