"""Interactions into one row per user: sorted parallel arrays, ready for the row builder."""

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.transforms.splits import day_start

FRESH = "fresh"
TODAY = "today"
_EVENTS = "events"


def known_by(day: date, timezone: str) -> Column:
    """True for what happened, landed and was available by the end of `day`."""
    end = day_start(day + timedelta(days=1), timezone)
    on_time = (F.col(c.EVENT_DATE) <= F.lit(day)) & (F.col(c.LANDING_DATE) <= F.lit(day))
    return on_time & (F.col(c.AVAILABILITY_TIME) < F.lit(end))


def known_interactions(interactions: DataFrame, *, day: date, timezone: str, actions: tuple[str, ...]) -> DataFrame:
    """Interactions with one of the actions that are known by the end of `day`; `fresh` are those that were not a day before."""
    codes = [ACTION_CODES[name] for name in actions]
    return (
        interactions.where(known_by(day, timezone) & F.col(c.ACTION).isin(codes))
        .withColumn(FRESH, ~known_by(day - timedelta(days=1), timezone))
        .withColumn(TODAY, F.col(c.EVENT_DATE) == F.lit(day))
    )


def user_sequences(known: DataFrame) -> DataFrame:
    """One row a user: items, actions, times, availability times, fresh and today, sorted by (event time, event id)."""
    fields = (c.EVENT_TIME, c.EVENT_ID, c.ITEM, c.ACTION, c.AVAILABILITY_TIME, FRESH, TODAY)
    event = F.struct(*[F.col(name) for name in fields])
    names = {c.ITEM: c.ITEMS, c.ACTION: c.ACTIONS, c.EVENT_TIME: c.TIMES}
    kept = (c.ITEM, c.ACTION, c.EVENT_TIME, c.AVAILABILITY_TIME, FRESH, TODAY)
    return (
        known.groupBy(c.USER)
        .agg(F.sort_array(F.collect_list(event)).alias(_EVENTS))
        .select(c.USER, *[F.col(f"{_EVENTS}.{name}").alias(names.get(name, name)) for name in kept])
    )
