"""Days of the configured time zone, and what was known at the end of one."""

from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c

_FIRST: Final = date(1970, 1, 1)


def start_of_day(day: Column, timezone: str) -> Column:
    """The instant at which a date begins in the zone. The session's zone is UTC."""
    return F.to_utc_timestamp(day.cast("timestamp"), timezone)


def day_of(instant: Column, timezone: str) -> Column:
    """The date an instant falls on in the zone."""
    return F.to_date(F.from_utc_timestamp(instant, timezone))


def day_number_of(instant: Column, timezone: str) -> Column:
    """That date as days since 1970-01-01, as `nightrank.feature_store.days` counts them."""
    return F.datediff(day_of(instant, timezone), F.lit(_FIRST))


def end_of(day: date, timezone: str) -> Column:
    """The first instant after the day: everything as of the day is strictly before it."""
    return start_of_day(F.date_add(F.lit(day), 1), timezone)


def known_by(df: DataFrame, day: date, timezone: str) -> DataFrame:
    """Rows that were available before the day ended, and events that had happened. Both times are timestamps."""
    kept = df.where(F.col(c.AVAILABILITY_TIME) < end_of(day, timezone))
    return kept.where(F.col(c.EVENT_TIME) < end_of(day, timezone)) if c.EVENT_TIME in df.columns else kept
