"""Cells to UTC microseconds: Arrow timestamps and dates, ISO 8601 text, a strptime format, or epoch numbers."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.schemas import TIMESTAMP
from nightrank.spark_jobs.sources.cells import Cells, as_text, raw_where
from nightrank.spark_jobs.sources.raw import RawColumn

Unit = Literal["s", "ms", "us", "ns"]
PER_SECOND: Final[dict[Unit, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST: Final = 253_402_300_800_000_000
"""Microseconds of the year 10000: past it a number was read in the wrong unit."""


@dataclass(frozen=True)
class TimeFormat:
    """`format` is `auto` (ISO text, epoch numbers), `epoch`, or strptime directives; `timezone` is of times that name none."""

    format: str = "auto"
    unit: Unit = "s"
    timezone: str = "UTC"


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"timezone {name!r} is not known on this machine", "write it like Europe/Berlin (Debian: apt install tzdata)"
        ) from None


def times(column: RawColumn, how: TimeFormat) -> Cells:
    """Microseconds since the epoch as a UTC timestamp; what cannot be read is null with its raw text."""
    kind = column.values.type
    if pa.types.is_date(kind):
        return Cells(_local(pc.cast(column.values, pa.timestamp("us")), how.timezone))
    if pa.types.is_timestamp(kind):
        micros = pc.cast(column.values, pa.timestamp("us", tz=kind.tz), safe=False)
        return Cells(pc.cast(micros, TIMESTAMP) if kind.tz else _local(micros, how.timezone))
    if column.family in ("list", "map", "binary", "boolean"):
        raise column.refuse(f"holds {column.family} where a time is expected", "name another column in the mapping")
    number = column.family in ("integer", "float", "decimal")
    if number and how.format not in ("auto", "epoch"):
        raise column.refuse(f"holds numbers, but the mapping says format {how.format!r}", "say `format: epoch` and its unit")
    text = pc.utf8_trim_whitespace(as_text(column))
    return _epoch(text, how.unit) if number or how.format == "epoch" else _written(text, how)


def _epoch(text: pa.Array, unit: Unit) -> Cells:
    plain = pc.match_substring_regex(text, r"^-?[0-9]{1,18}$")
    whole = pc.cast(pc.if_else(plain, text, pa.scalar(None, pa.string())), pa.int64())
    factor = 1_000_000 // PER_SECOND[unit] if unit != "ns" else 0
    limit = _FARTHEST // factor if factor else 2**63 - 1
    inside = pc.less(pc.abs(whole), limit)
    safe = pc.if_else(inside, whole, pa.scalar(None, pa.int64()))
    micros = pc.multiply(safe, factor) if factor else pa.array(_floor_thousand(safe), pa.int64())
    if pc.any(pc.invert(pc.fill_null(plain, True))).as_py():
        slow = [None if p or t is None else _decimal(t, unit) for p, t in zip(plain.to_pylist(), text.to_pylist(), strict=True)]
        micros = pc.coalesce(micros, pa.array(slow, pa.int64()))
    return Cells(pc.cast(micros, TIMESTAMP), raw_where(text, pc.is_valid(micros)))


def _floor_thousand(values: pa.Array) -> pa.Array:
    floor = np.floor_divide(pc.fill_null(values, 0).to_numpy(zero_copy_only=False), 1_000)
    return pc.if_else(pc.is_valid(values), pa.array(floor), pa.scalar(None, pa.int64()))


def _decimal(text: str, unit: Unit) -> int | None:
    try:
        micros = Decimal(text) * 1_000_000 / PER_SECOND[unit]
        return int(micros) if abs(micros) < _FARTHEST else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


def _written(text: pa.Array, how: TimeFormat) -> Cells:
    if how.format == "auto":
        for kind in (TIMESTAMP, pa.timestamp("us")):
            try:
                micros = pc.cast(text, kind)
            except pa.ArrowInvalid:
                continue
            return Cells(micros if kind == TIMESTAMP else _local(micros, how.timezone))
    local = zone(how.timezone)
    cache: dict[str, int | None] = {}
    for value in pc.unique(text).to_pylist():
        if value is not None:
            cache[value] = _parse(value, how.format, local)
    micros = pa.array([None if value is None else cache[value] for value in text.to_pylist()], pa.int64())
    return Cells(pc.cast(micros, TIMESTAMP), raw_where(text, pc.is_valid(micros)))


def _parse(text: str, pattern: str, local: ZoneInfo) -> int | None:
    try:
        moment = datetime.fromisoformat(text) if pattern == "auto" else datetime.strptime(text, pattern)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=local)
    since = aware - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _local(naive: pa.Array, timezone: str) -> pa.Array:
    """Wall-clock times of a zone as UTC; an hour that the clock skips or repeats is its earlier reading."""
    zone(timezone)
    return pc.cast(pc.assume_timezone(naive, timezone, ambiguous="earliest", nonexistent="earliest"), TIMESTAMP)


def days(moments: pa.Array, timezone: str) -> pa.Array:
    """The calendar day (date32) of each moment in a zone; null stays null."""
    if timezone == "UTC":
        return pc.cast(pc.cast(moments, pa.timestamp("us")), pa.date32(), safe=False)
    zone(timezone)
    return pc.cast(pc.local_timestamp(pc.cast(moments, pa.timestamp("us", tz=timezone))), pa.date32(), safe=False)


def start_of(day: date, timezone: str) -> datetime:
    """Midnight of a calendar day of the zone, as an aware UTC time."""
    return datetime(day.year, day.month, day.day, tzinfo=zone(timezone)).astimezone(UTC)
