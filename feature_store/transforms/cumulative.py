"""Events into cumulative daily sums of users and items, and the users' attributes: what as-of aggregates are looked up in."""

from collections.abc import Iterable

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import EVENTS
from nightrank.feature_store.transforms.calendar import day_number_of
from nightrank.feature_store.transforms.vocabulary import dense


def cumulative(interactions: DataFrame, key: str, counters: Iterable[str], timezone: str) -> DataFrame:
    """`key`, `day` and every counter: one row an entity and day with an event, sums over its days up to that one.

    The day is that on which an event had happened and become known. Counters that are not named are null.
    """
    wanted = set(counters)
    known = F.timestamp_micros(F.greatest(c.EVENT_TIME, c.AVAILABILITY_TIME))
    day = day_number_of(known, timezone)
    counted = {name: F.count_if(_is(name)).alias(name) for name in (EVENTS, *ACTION_CODES) if name in wanted}
    daily = interactions.groupBy(key, day.alias(c.DAY)).agg(F.count(F.lit(1)).alias("_events"), *counted.values())
    up_to_it = Window.partitionBy(key).orderBy(c.DAY).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    sums = [
        F.sum(name).over(up_to_it).cast("int").alias(name) if name in wanted else F.lit(None).cast("int").alias(name)
        for name in (EVENTS, *ACTION_CODES)
    ]
    return daily.select(key, c.DAY, *sums)


def _is(counter: str) -> Column:
    return F.lit(True) if counter == EVENTS else F.col(c.ACTION) == ACTION_CODES[counter]


def user_attributes(users: DataFrame, vocabulary: DataFrame, names: Iterable[str]) -> DataFrame:
    """`user`, the named `attributes` and when they became known, of every user who has one of them."""
    wanted = [F.lit(name) for name in names]
    kept = F.map_filter(c.ATTRIBUTES, lambda key, value: key.isin(*wanted) & value.isNotNull())
    rows = dense(users, vocabulary, "user").select(
        c.USER, kept.alias(c.ATTRIBUTES), F.unix_micros(c.AVAILABILITY_TIME).alias(c.KNOWN_FROM)
    )
    return rows.where(F.size(c.ATTRIBUTES) > 0)
