"""What is known of each user at the end of a day: activity, prices, affinity to categories, segment."""

from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.transforms.activity import AsOf, as_map, counts_by_action, stamps, totals
from nightrank.feature_store.transforms.vocabulary import dense

CATEGORIES_KEPT: Final = 20
CATEGORY_AFFINITY: Final = "category_affinity"
NO_SEGMENT: Final = ""


def user_features(
    interactions: DataFrame, items: DataFrame, users: DataFrame, vocabulary: DataFrame, *, as_of: AsOf, segment: str | None
) -> DataFrame:
    """One row a user of the vocabulary, of what was known at the end of the day.

    `features`: counts by window and by action and window, `items` (distinct), `price_mean`, `recency_days` (with a clock).
    `count_all`, `count_7d` … and `items` are always there; what is not known, or was not done, has no entry.
    `category_affinity`: share of the user's events that touched a category, the 20 highest. `segment`: the attribute's
    value, empty where there is none.
    """
    known = as_of.known(interactions)
    described = dense(items, vocabulary, "item").select(c.ITEM, c.PRICE, c.CATEGORIES)
    acted = known.join(described, c.ITEM, "left")
    aggregates = {**totals(as_of), "items": F.count_distinct(c.ITEM), "price_mean": F.mean(c.PRICE)}
    activity = acted.groupBy(c.USER).agg(*[column.alias(name) for name, column in aggregates.items()], *stamps())
    everyone = vocabulary.where(F.col(c.KIND) == "user").select(F.col(c.DENSE_ID).alias(c.USER), c.FIRST_AVAILABLE)
    rows = everyone.join(activity, c.USER, "left").join(counts_by_action(known, c.USER, as_of), c.USER, "left")
    rows = rows.join(_affinity(acted), c.USER, "left")
    rows = rows.join(_segments(users, vocabulary, segment), c.USER, "left")
    return rows.select(
        c.USER,
        F.coalesce(c.SEGMENT, F.lit(NO_SEGMENT)).alias(c.SEGMENT),
        as_map(_values(aggregates, as_of)).alias(c.FEATURES),
        F.coalesce(CATEGORY_AFFINITY, F.create_map().cast("map<string,double>")).alias(CATEGORY_AFFINITY),
        c.EVENT_TIME,
        F.greatest(c.AVAILABILITY_TIME, "_attributes_at", c.FIRST_AVAILABLE).alias(c.AVAILABILITY_TIME),
    )


def _values(aggregates: dict[str, Column], as_of: AsOf) -> dict[str, Column]:
    counted = {name: F.coalesce(F.col(name), F.lit(0)) for name in aggregates if name != "price_mean"}
    clock = {"recency_days": as_of.days_since(F.col(c.EVENT_TIME))} if as_of.has_clock else {}
    return {**counted, "price_mean": F.col("price_mean"), **clock}


def _affinity(acted: DataFrame) -> DataFrame:
    """`user`, category -> share of the user's events; ties by name."""
    touched = acted.select(c.USER, F.explode(F.array_distinct(c.CATEGORIES)).alias("category")).where("category IS NOT NULL")
    events = acted.groupBy(c.USER).agg(F.count(F.lit(1)).alias("_events"))
    best = Window.partitionBy(c.USER).orderBy(F.desc("_n"), "category")
    shares = (
        touched.groupBy(c.USER, "category")
        .agg(F.count(F.lit(1)).alias("_n"))
        .withColumn("_rank", F.row_number().over(best))
        .where(F.col("_rank") <= CATEGORIES_KEPT)
        .join(events, c.USER)
        .select(c.USER, F.struct("category", (F.col("_n") / F.col("_events")).alias("share")).alias("entry"))
    )
    entries = F.map_from_entries(F.sort_array(F.collect_list("entry")))
    return shares.groupBy(c.USER).agg(entries.alias(CATEGORY_AFFINITY))


def _segments(users: DataFrame, vocabulary: DataFrame, attribute: str | None) -> DataFrame:
    value = F.col(c.ATTRIBUTES)[attribute] if attribute else F.lit(None).cast("string")
    return dense(users, vocabulary, "user").select(
        c.USER, value.alias(c.SEGMENT), F.col(c.AVAILABILITY_TIME).alias("_attributes_at")
    )
