"""Item popularity, overall and by user segment: what a user without a usable history is shown."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.transforms.vocabulary import dense

COUNT = "count"


def user_segments(users: DataFrame, vocabulary: DataFrame, attribute: str) -> DataFrame:
    """`user`, `segment` of every user that has one: the value of the attribute."""
    found = dense(users, vocabulary, "user").select(c.USER, F.col(c.ATTRIBUTES)[attribute].alias(c.SEGMENT))
    return found.where(F.coalesce(c.SEGMENT, F.lit("")) != "")


def popularity_by_segment(recent: DataFrame, segments: DataFrame) -> DataFrame:
    """`segment`, `item`, `count` of recent interactions; the empty segment counts everybody.

    Users without a segment of their own count only there.
    """
    counted = recent.select(c.USER, c.ITEM)
    own = counted.join(segments, c.USER).select(c.SEGMENT, c.ITEM)
    everybody = counted.select(F.lit("").alias(c.SEGMENT), c.ITEM)
    return own.unionByName(everybody).groupBy(c.SEGMENT, c.ITEM).count()
