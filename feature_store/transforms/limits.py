"""What one user may contribute: a bot's events stay in `events` and are left out of interactions beyond a limit."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c

PER_DAY = (c.USER, c.EVENT_DATE)
PER_ITEM = (c.USER, c.ITEM)
_BEFORE = "_before"
EXCESS = "excess"


def exceeding(rows: DataFrame, stored: DataFrame, keys: tuple[str, ...], most: int) -> DataFrame:
    """The keys of which `rows` and `stored` together hold more than `most`, with `excess`: how many of `rows` are too many.

    Of `stored` only what has a key of `rows` is counted.
    """
    before = (
        stored.join(rows.select(*keys).distinct(), [*keys], "left_semi").groupBy(*keys).agg(F.count(F.lit(1)).alias(_BEFORE))
    )
    counted = rows.groupBy(*keys).agg(F.count(F.lit(1)).alias("_rows")).join(before, [*keys], "left")
    counted = counted.withColumn(_BEFORE, F.coalesce(_BEFORE, F.lit(0)))
    total = F.col("_rows") + F.col(_BEFORE)
    return counted.where(total > most).select(*keys, _BEFORE, F.least(F.col("_rows"), total - most).alias(EXCESS))


def without_excess(rows: DataFrame, over: DataFrame, keys: tuple[str, ...], most: int) -> DataFrame:
    """The rows that fit beside the stored ones: the first landed, then the earliest, so a later landing takes none back."""
    order = Window.partitionBy(*keys).orderBy(c.LANDING_DATE, c.EVENT_TIME, c.EVENT_ID)
    touched = rows.join(over.select(*keys, _BEFORE), [*keys]).withColumn("_nth", F.row_number().over(order))
    kept = touched.where(F.col("_nth") + F.col(_BEFORE) <= most).select(*rows.columns)
    return rows.join(over.select(*keys), [*keys], "left_anti").select(*rows.columns).unionByName(kept)
