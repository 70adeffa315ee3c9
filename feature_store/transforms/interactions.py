"""Events in dense form: ids from the vocabulary, action codes, times in microseconds."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.transforms.vocabulary import dense


def interactions(events: DataFrame, vocabulary: DataFrame) -> DataFrame:
    """One row an event whose user and item both have a dense id."""
    codes = F.create_map(*[F.lit(part) for pair in ACTION_CODES.items() for part in pair])
    known = dense(dense(events, vocabulary, "user"), vocabulary, "item")
    return known.select(
        c.USER,
        c.ITEM,
        F.coalesce(codes[F.col(c.ACTION)], F.lit(ACTION_CODES["other"])).cast("tinyint").alias(c.ACTION),
        F.unix_micros(c.EVENT_TIME).alias(c.EVENT_TIME),
        F.unix_micros(c.AVAILABILITY_TIME).alias(c.AVAILABILITY_TIME),
        c.VALUE,
        c.EVENT_ID,
        c.EVENT_DATE,
        c.LANDING_DATE,
    )
