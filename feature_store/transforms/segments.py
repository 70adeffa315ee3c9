"""Item popularity, overall and by user segment: what a user without a usable history is shown."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c

COUNT = "count"


def popularity_by_segment(recent: DataFrame, segments: DataFrame) -> DataFrame:
    """`segment`, `item`, `count` of recent interactions; the empty segment counts everybody.

    Users without a segment of their own count only there.
    """
    counted = recent.select(c.USER, c.ITEM)
    own = counted.join(segments.where(F.coalesce(c.SEGMENT, F.lit("")) != ""), c.USER).select(c.SEGMENT, c.ITEM)
    everybody = counted.select(F.lit("").alias(c.SEGMENT), c.ITEM)
    return own.unionByName(everybody).groupBy(c.SEGMENT, c.ITEM).count()
