"""Counts by action and window, and how long ago: what user and item features share."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feature_store.contracts import columns as c
from feature_store.contracts.actions import ACTION_CODES
from feature_store.transforms.calendar import end_of

DAY_SECONDS: Final = 86_400


@dataclass(frozen=True)
class AsOf:
    """The moment features are taken at: the end of `day`. Windows are whole days that end with it; none without a clock."""

    day: date
    timezone: str
    windows: tuple[int, ...]

    @property
    def has_clock(self) -> bool:
        return bool(self.windows)

    def known(self, interactions: DataFrame) -> DataFrame:
        """Interactions that had happened and were available before the day ended."""
        end = F.unix_micros(end_of(self.day, self.timezone))
        return interactions.where((F.col(c.AVAILABILITY_TIME) < end) & (F.col(c.EVENT_TIME) < end))

    def inside(self, window: int) -> Column:
        """True of an interaction of the last `window` days, the day itself included."""
        return F.col(c.EVENT_DATE) > F.date_sub(F.lit(self.day), window)

    def days_since(self, instant: Column) -> Column:
        """Days from a timestamp to the end of the day."""
        seconds = F.unix_micros(end_of(self.day, self.timezone)) - F.unix_micros(instant)
        return seconds / F.lit(1e6 * DAY_SECONDS)


def counts(as_of: AsOf) -> dict[str, Column]:
    """Aggregates `count_all`, `count_7d`, `count_purchase_all`, `count_purchase_7d` … over known interactions."""
    spans = {"all": F.lit(True)} | {f"{window}d": as_of.inside(window) for window in as_of.windows}
    found = {f"count_{span}": F.count_if(inside) for span, inside in spans.items()}
    for action, code in ACTION_CODES.items():
        for span, inside in spans.items():
            found[f"count_{action}_{span}"] = F.count_if((F.col(c.ACTION) == code) & inside)
    return found


def stamps() -> list[Column]:
    """The newest event time and availability time that went in, as timestamps."""
    return [F.timestamp_micros(F.max(name)).alias(name) for name in (c.EVENT_TIME, c.AVAILABILITY_TIME)]


def as_map(values: dict[str, Column]) -> Column:
    """name -> double, names in order; a value that is missing has no entry."""
    pairs = [part for name in sorted(values) for part in (F.lit(name), values[name].cast("double"))]
    return F.map_filter(F.create_map(*pairs), lambda _, value: value.isNotNull())
