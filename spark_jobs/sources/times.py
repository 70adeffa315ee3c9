"""Cells to UTC microseconds: Arrow timestamps and dates, ISO 8601 text, a strptime format, or epoch numbers."""

from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.schemas import TIMESTAMP
from nightrank.spark_jobs.sources.cells import Cells, as_text, raw_where, without_words
from nightrank.spark_jobs.sources.clock_texts import EPOCH, parsed
from nightrank.spark_jobs.sources.epochs import COMPACT, DIGITS, epoch_micros, settled
from nightrank.spark_jobs.sources.formats import TimeFormat
from nightrank.spark_jobs.sources.raw import RawColumn

__all__ = ["EPOCH", "TimeFormat", "days", "settled", "start_of", "times", "zone"]
REASON: Final = "no time that can be read"
_NULL: Final = pa.scalar(None, TIMESTAMP)
_TEXT_NULL: Final = pa.scalar(None, pa.string())


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"timezone {name!r} is not known on this machine",
            "write it like Europe/Berlin, or install the zones (Debian: apt install tzdata)",
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
        raise column.refuse(f"holds numbers, but the mapping says format {how.format!r}", "set `format: epoch` and its unit")
    given = as_text(column)
    fast = None if number or how.format != "auto" else _cast(given, how.timezone)
    if fast is not None:
        return Cells(fast)
    text = without_words(pc.utf8_trim_whitespace(given), how.missing)
    text = pc.if_else(pc.equal(text, ""), _TEXT_NULL, text)
    settled_how = settled(column, how)
    micros = _numbers(text, settled_how, number) if number or how.format == "epoch" else _written(text, settled_how)
    return Cells(micros, raw_where(text, pc.is_valid(micros)), reason=REASON)


def _cast(text: pa.Array, timezone: str) -> pa.Array | None:
    """All of them at once, where all are written in one way that Arrow knows; else None."""
    for kind in (TIMESTAMP, pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.timestamp("ns")):
        try:
            found = pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
        micros = pc.cast(found, pa.timestamp("us", tz=kind.tz), safe=False)
        return pc.cast(micros, TIMESTAMP) if kind.tz else _local(micros, timezone)
    return None


def _written(text: pa.Array, how: TimeFormat) -> pa.Array:
    if how.format != "auto":
        return _parsed(text, how)
    digits = pc.fill_null(pc.match_substring_regex(text, DIGITS), False)
    if not pc.any(digits).as_py():
        return _iso(text, how)
    written = _iso(pc.if_else(digits, _TEXT_NULL, text), how)
    return pc.coalesce(written, _numbers(pc.if_else(digits, text, _TEXT_NULL), how, False))


def _numbers(text: pa.Array, how: TimeFormat, number: bool) -> pa.Array:
    """Numbers as epoch times of the unit; under `auto`, `20240501` is the first of May."""
    if how.format != "auto":
        return pc.cast(epoch_micros(text, how), TIMESTAMP)
    compact = pc.fill_null(pc.match_substring_regex(text, COMPACT), False)
    if not pc.any(compact).as_py():
        return pc.cast(epoch_micros(text, how), TIMESTAMP) if how.unit or number else pc.if_else(compact, _NULL, _NULL)
    epochs = pc.cast(epoch_micros(pc.if_else(compact, _TEXT_NULL, text), how), TIMESTAMP)
    return pc.coalesce(_parsed(pc.if_else(compact, text, _TEXT_NULL), how), epochs)


def _iso(text: pa.Array, how: TimeFormat) -> pa.Array:
    """`2024-05-01 12:00:00 UTC` (BigQuery), `… +0000` (Snowflake), `…+00` (PostgreSQL) and ISO 8601."""
    plain = pc.replace_substring_regex(text, r"^(\d{4}-\d\d-\d\d[ T][\d:.]+) ?(UTC|GMT|Z|z)$", r"\1Z")
    plain = pc.replace_substring_regex(plain, r"^(\d{4}-\d\d-\d\d[ T][\d:.]+) ([+-]\d\d(:?\d\d)?)$", r"\1\2")
    found = _cast(plain, how.timezone)
    return found if found is not None else _parsed(plain, how)


def _parsed(text: pa.Array, how: TimeFormat) -> pa.Array:
    """One value after the other; each different text is read once."""
    local = zone(how.timezone)
    known = {value: parsed(value, how.format, local) for value in pc.unique(text).to_pylist() if value is not None}
    micros = pa.array([None if value is None else known[value] for value in text.to_pylist()], pa.int64())
    return pc.cast(micros, TIMESTAMP)


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
