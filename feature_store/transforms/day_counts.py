"""Events into counts of users and items by day, and the users' attributes: what as-of aggregates are looked up in."""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import reduce
from operator import or_
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import EVENTS
from nightrank.feature_store.days import day_start
from nightrank.feature_store.transforms.calendar import day_number_of
from nightrank.feature_store.transforms.vocabulary import dense

_FIRST: Final = date(1970, 1, 1)


def day_counts(interactions: DataFrame, key: str, timezone: str) -> DataFrame:
    """`key`, `day` and every counter: one row an entity and day with an event.

    The day is that on which an event had happened and become known.
    """
    day = day_number_of(F.timestamp_micros(F.greatest(c.EVENT_TIME, c.AVAILABILITY_TIME)), timezone)
    counted = [F.count_if(_is(name)).cast("int").alias(name) for name in (EVENTS, *ACTION_CODES)]
    return interactions.groupBy(key, day.alias(c.DAY)).agg(*counted)


def known_on(days: Iterable[int], timezone: str) -> Column:
    """True for interactions of these days (since 1970-01-01), in terms of their two times, by which files are left out."""
    spans = [(_start(first, timezone), _start(last + 1, timezone)) for first, last in _runs(days)]
    return reduce(or_, [_between(start, end) for start, end in spans])


def user_attributes(users: DataFrame, vocabulary: DataFrame, names: Iterable[str]) -> DataFrame:
    """`user`, the named `attributes` and when they became known, of every user who has one of them."""
    wanted = [F.lit(name) for name in names]
    kept = F.map_filter(c.ATTRIBUTES, lambda key, value: key.isin(*wanted) & value.isNotNull())
    rows = dense(users, vocabulary, "user").select(
        c.USER, kept.alias(c.ATTRIBUTES), F.unix_micros(c.AVAILABILITY_TIME).alias(c.KNOWN_FROM)
    )
    return rows.where(F.size(c.ATTRIBUTES) > 0)


def _is(counter: str) -> Column:
    return F.lit(True) if counter == EVENTS else F.col(c.ACTION) == ACTION_CODES[counter]


def _between(start: int, end: int) -> Column:
    """start <= max(event time, availability time) < end."""
    times = (F.col(c.EVENT_TIME), F.col(c.AVAILABILITY_TIME))
    return (times[0] < end) & (times[1] < end) & ((times[0] >= start) | (times[1] >= start))


def _runs(days: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of successive days."""
    runs: list[tuple[int, int]] = []
    for day in sorted(days):
        if runs and runs[-1][1] == day - 1:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs


def _start(day: int, timezone: str) -> int:
    return day_start(_FIRST + timedelta(days=day), timezone)
