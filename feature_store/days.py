"""Days of a time zone as numbers since 1970-01-01, for arrays of times. Pure numpy."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

MICROS: Final = 1_000_000
_DAY: Final = 86_400 * MICROS
_FIRST: Final = date(1970, 1, 1)
_LOWEST: Final = (date.min - _FIRST).days + 2
_HIGHEST: Final = (date.max - _FIRST).days - 2
_BLOCK: Final = 1024
Ints = npt.NDArray[np.int64]


def days_of(times: Ints, timezone: str) -> Ints:
    """The day each moment (microseconds since the epoch) falls on in the zone."""
    if not len(times):
        return np.zeros(0, np.int64)
    # Whole blocks, so that the next batch finds them ready.
    first = (int(times.min()) // _DAY - 1) // _BLOCK * _BLOCK
    last = (int(times.max()) // _DAY + 2 + _BLOCK) // _BLOCK * _BLOCK
    starts = _starts(first, last, timezone)
    found: Ints = np.searchsorted(starts, times, side="right") - 1 + first
    return found


def day_start(day: date, timezone: str) -> int:
    """The first microsecond of `day` in `timezone`, since the epoch."""
    return int(datetime.combine(day, time(), ZoneInfo(timezone)).timestamp()) * MICROS


def day_number(day: date) -> int:
    return (day - _FIRST).days


@lru_cache(maxsize=64)
def _starts(first: int, last: int, timezone: str) -> Ints:
    """Microseconds at which each of the days begins in the zone."""
    zone = ZoneInfo(timezone)
    if timezone == "UTC":
        return np.arange(first, last + 1, dtype=np.int64) * _DAY
    days = [_FIRST + timedelta(days=max(_LOWEST, min(number, _HIGHEST))) for number in range(first, last + 1)]
    starts = [datetime.combine(day, time(), zone).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC) for day in days]
    return np.array([start // timedelta(microseconds=1) for start in starts], dtype=np.int64)
