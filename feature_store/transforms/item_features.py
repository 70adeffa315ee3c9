"""What is known of each item at the end of a day: activity, popularity, audience, price, age."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.transforms.activity import AsOf, as_map, counts_by_action, stamps, totals
from nightrank.feature_store.transforms.vocabulary import dense


def item_features(interactions: DataFrame, items: DataFrame, vocabulary: DataFrame, *, as_of: AsOf) -> DataFrame:
    """One row an item of the vocabulary, of what was known at the end of the day.

    `features`: counts by window and by action and window, `users` (distinct), `popularity` (share of all events;
    `popularity_7d` … of the window's), `value_mean`, `price`; with a clock `recency_days` and `age_days` (since created,
    else first available). `count_all`, `count_7d` …, `users` and popularity are always there; what is not known, or did
    not happen, has no entry.
    """
    known = as_of.known(interactions)
    aggregates = {**totals(as_of), "users": F.count_distinct(c.USER), "value_mean": F.mean(c.VALUE)}
    activity = known.groupBy(c.ITEM).agg(*[column.alias(name) for name, column in aggregates.items()], *stamps())
    described = dense(items, vocabulary, "item").select(
        c.ITEM, c.PRICE, c.CREATED, F.col(c.AVAILABILITY_TIME).alias("_described_at")
    )
    everything = vocabulary.where(F.col(c.KIND) == "item").select(F.col(c.DENSE_ID).alias(c.ITEM), c.FIRST_AVAILABLE)
    rows = everything.join(activity, c.ITEM, "left").join(counts_by_action(known, c.ITEM, as_of), c.ITEM, "left")
    rows = rows.join(described, c.ITEM, "left").crossJoin(_totals(known, as_of))
    return rows.select(
        c.ITEM,
        as_map(_values(aggregates, as_of)).alias(c.FEATURES),
        c.EVENT_TIME,
        F.greatest(c.AVAILABILITY_TIME, "_described_at", c.FIRST_AVAILABLE).alias(c.AVAILABILITY_TIME),
    )


def _totals(known: DataFrame, as_of: AsOf) -> DataFrame:
    """One row: events of all items, ever and by window."""
    windows = [F.count_if(as_of.inside(window)).alias(f"_total_{window}d") for window in as_of.windows]
    return F.broadcast(known.agg(F.count(F.lit(1)).alias("_total_all"), *windows))


def _values(aggregates: dict[str, Column], as_of: AsOf) -> dict[str, Column]:
    values = {name: F.coalesce(F.col(name), F.lit(0)) for name in aggregates if name != "value_mean"}
    for span in ("all", *(f"{window}d" for window in as_of.windows)):
        share = F.coalesce(F.try_divide(values[f"count_{span}"], F.col(f"_total_{span}")), F.lit(0.0))
        values["popularity" if span == "all" else f"popularity_{span}"] = share
    values |= {"value_mean": F.col("value_mean"), c.PRICE: F.col(c.PRICE)}
    if as_of.has_clock:
        values["recency_days"] = as_of.days_since(F.col(c.EVENT_TIME))
        values["age_days"] = as_of.days_since(F.coalesce(c.CREATED, c.FIRST_AVAILABLE))
    return values
