"""What users did with the lists of an experiment: events that carry a list's id, joined back to it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.list_schemas import FEEDBACK


def feedback(lists: DataFrame, events: DataFrame, rewards: tuple[str, ...]) -> DataFrame:
    """FEEDBACK of every list of `lists` that an event names. `events` are rows of the table `events`.

    An item counts once, however often it was seen or chosen. An event of another user than the list's, and one of an item
    that the drawn place did not hold, change nothing of that place.
    """
    drawn = F.when(F.col(c.CHOSEN).isNotNull(), F.element_at(c.CANDIDATES, F.col(c.CHOSEN) + 1))
    owned = lists.withColumn("drawn", drawn)
    named = events.where(F.col(c.LIST_ID).isNotNull()).select(c.LIST_ID, c.USER_ID, c.ITEM_ID, c.ACTION)
    chosen = F.col(c.ACTION).isin(list(rewards))
    is_drawn = F.col(c.ITEM_ID) == F.col("drawn")
    by_list = (
        named.join(owned.select(c.LIST_ID, c.USER_ID, "drawn"), [c.LIST_ID, c.USER_ID])
        .groupBy(c.LIST_ID)
        .agg(
            F.countDistinct(c.ITEM_ID).cast("int").alias(c.SHOWN),
            F.countDistinct(F.when(chosen, F.col(c.ITEM_ID))).cast("int").alias(c.REWARD),
            F.coalesce(F.max(is_drawn), F.lit(False)).alias(c.PLACE_SHOWN),
            F.coalesce(F.max((is_drawn & chosen).cast("int")), F.lit(0)).alias(c.PLACE_REWARD),
        )
    )
    return owned.join(by_list, c.LIST_ID).select(*FEEDBACK.names)
