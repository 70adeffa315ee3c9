"""Which items the same users choose, cosine-normalised; and how often each item is chosen at all."""

from typing import Final

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c

NEIGHBOUR: Final = "neighbour"
SIMILARITY: Final = "similarity"
MAX_ITEMS: Final = 500
"""Newest items of one user that are paired: pairs grow with its square."""


def popularity(known: DataFrame, recent_from: int | None) -> DataFrame:
    """`item`, `recent` events since `recent_from` (microseconds; None: ever), `total` events."""
    recent = F.lit(True) if recent_from is None else F.col(c.EVENT_TIME) >= F.lit(recent_from)
    return known.groupBy(c.ITEM).agg(F.sum(recent.cast("long")).alias("recent"), F.count(F.lit(1)).alias("total"))


def neighbours(known: DataFrame, count: int) -> DataFrame:
    """`item`, `neighbour`, `similarity` = users of both / sqrt(users of one x of the other), for the `count` nearest."""
    chosen = known.groupBy(c.USER, c.ITEM).agg(F.max(c.EVENT_TIME).alias(c.EVENT_TIME))
    users = chosen.groupBy(c.ITEM).agg(F.count(F.lit(1)).alias("users"))
    newest = F.sort_array(F.collect_list(F.struct(c.EVENT_TIME, c.ITEM)), asc=False)
    baskets = chosen.groupBy(c.USER).agg(F.slice(newest, 1, MAX_ITEMS)[c.ITEM].alias(c.ITEMS))
    pairs = baskets.select(F.explode(c.ITEMS).alias(c.ITEM), c.ITEMS).select(c.ITEM, F.explode(c.ITEMS).alias(NEIGHBOUR))
    both = pairs.where(F.col(c.ITEM) != F.col(NEIGHBOUR)).groupBy(c.ITEM, NEIGHBOUR).count()
    other = users.select(F.col(c.ITEM).alias(NEIGHBOUR), F.col("users").alias("others"))
    cosine = F.col("count") / F.sqrt(F.col("users") * F.col("others"))
    near = both.join(users, c.ITEM).join(other, NEIGHBOUR).select(c.ITEM, NEIGHBOUR, cosine.alias(SIMILARITY))
    place = F.row_number().over(Window.partitionBy(c.ITEM).orderBy(F.desc(SIMILARITY), NEIGHBOUR))
    return near.withColumn("place", place).where(F.col("place") <= count).drop("place")
