"""Dense ids: given once, from 1, per kind, in the order (first availability time, raw id). They never move."""

from datetime import date
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c

KINDS: Final = {"item": c.ITEM_ID, "user": c.USER_ID}


def sightings(events: DataFrame, items: DataFrame, users: DataFrame) -> DataFrame:
    """Every raw id that the three name, with the first time one of them made it available. Each is read once."""
    both = F.explode(F.array(_named("item"), _named("user"))).alias("id")
    rows = events.select(both, c.AVAILABILITY_TIME)
    for kind, described in (("item", items), ("user", users)):
        rows = rows.unionByName(described.select(_named(kind).alias("id"), c.AVAILABILITY_TIME))
    return rows.groupBy(f"id.{c.KIND}", f"id.{c.RAW_ID}").agg(F.min(c.AVAILABILITY_TIME).alias(c.FIRST_AVAILABLE))


def _named(kind: str) -> Column:
    return F.struct(F.lit(kind).alias(c.KIND), F.col(KINDS[kind]).alias(c.RAW_ID))


def new_ids(seen: DataFrame, vocabulary: DataFrame, day: date) -> DataFrame:
    """Vocabulary rows for ids that have none yet, numbered on from the highest of their kind.

    Only the new ids pass through the one ordered partition a kind has; the old ones are neither sorted nor collected.
    """
    fresh = seen.join(vocabulary.select(c.KIND, c.RAW_ID), [c.KIND, c.RAW_ID], "left_anti")
    highest = vocabulary.groupBy(c.KIND).agg(F.max(c.DENSE_ID).alias("_highest"))
    order = Window.partitionBy(c.KIND).orderBy(c.FIRST_AVAILABLE, c.RAW_ID)
    dense = F.coalesce(F.col("_highest"), F.lit(0)) + F.row_number().over(order)
    return fresh.join(F.broadcast(highest), c.KIND, "left").select(
        c.KIND,
        c.RAW_ID,
        dense.cast("int").alias(c.DENSE_ID),
        c.FIRST_AVAILABLE,
        F.lit(day).alias(c.LANDING_DATE),
    )


def dense(df: DataFrame, vocabulary: DataFrame, kind: str) -> DataFrame:
    """`df` with the kind's dense id in column `user` or `item`; rows whose raw id has none are left out."""
    ids = vocabulary.where(F.col(c.KIND) == kind).select(
        F.col(c.RAW_ID).alias(KINDS[kind]), F.col(c.DENSE_ID).alias(c.USER if kind == "user" else c.ITEM)
    )
    return df.join(ids, KINDS[kind])
