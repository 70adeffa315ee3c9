"""From landed rows to rows of `events` and `users`: ids, times, days, one row a key."""

import hmac
from collections.abc import Iterator
from hashlib import sha256

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.functions import pandas_udf
from pyspark.sql.types import StringType

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.transforms.calendar import day_of, start_of_day
from nightrank.feature_store.transforms.catalogue import NUMBERED

NAMED_BY = (c.USER_ID, c.ITEM_ID, c.ACTION, c.EVENT_TIME, c.VALUE, c.POSITION, c.SESSION_ID)
"""An event without an id of its own is named by these."""


def decimal_ids(df: DataFrame) -> DataFrame:
    """Integer ids in their one decimal form: `007` and `7` are the same user. Rows must be judged before."""
    ids = [name for name in (c.USER_ID, c.ITEM_ID) if name in df.columns]
    return df.withColumns({name: F.coalesce(F.col(name).try_cast("bigint").cast("string"), F.col(name)) for name in ids})


def hashed_users(df: DataFrame, key: bytes) -> DataFrame:
    """User ids replaced by HMAC-SHA256 under the key. The key travels inside the function, never in a query plan."""

    def keyed(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for ids in batches:
            yield ids.map(lambda raw: hmac.new(key, raw.encode(), sha256).hexdigest(), na_action="ignore")

    pseudonym = pandas_udf(keyed, StringType())  # type: ignore[call-overload]
    return df.withColumn(c.USER_ID, pseudonym(F.col(c.USER_ID)))


def events(df: DataFrame, *, timezone: str) -> DataFrame:
    """Valid landed events as rows of the table: id given or derived, known action, day, when it became available.

    A value that is not a number is null."""
    # An event is not known before it happens; one that arrived on a later day is known from the start of that day.
    value = F.col(c.VALUE)
    df = df.withColumn(c.VALUE, F.when(~(F.isnan(value) | (F.abs(value) == float("inf"))), value))
    reported = F.coalesce(F.col(c.AVAILABILITY_TIME), start_of_day(F.col(c.LANDING_DATE), timezone))
    return df.withColumns(
        {
            c.EVENT_ID: F.coalesce(F.nullif(F.trim(F.col(c.EVENT_ID)), F.lit("")), _derived_id()),
            c.EVENT_DATE: day_of(F.col(c.EVENT_TIME), timezone),
            c.AVAILABILITY_TIME: F.greatest(F.col(c.EVENT_TIME), reported),
            c.ACTION: _known_action(F.lower(F.trim(F.col(c.ACTION)))),
        }
    )


def first_of_each(df: DataFrame) -> DataFrame:
    """One row an event id: the first landed, then the first available; ties by content, so always the same one."""
    content = F.xxhash64(*[F.col(n) for n in NAMED_BY], F.to_json(F.col(c.CONTEXT)), c.PROPENSITY, c.LIST_ID)
    order = Window.partitionBy(c.EVENT_ID).orderBy(c.LANDING_DATE, c.AVAILABILITY_TIME, c.EVENT_TIME, content)
    return df.withColumn("_nth", F.row_number().over(order)).where("_nth = 1").drop("_nth")


def users(df: DataFrame, *, timezone: str) -> DataFrame:
    """Valid landed users as rows of the table: what the newest available row of each says, and since when that is so."""
    return _since_as_now(_available(df, timezone))


def _derived_id() -> Column:
    parts = [F.unix_micros(c.EVENT_TIME) if name == c.EVENT_TIME else F.col(name) for name in NAMED_BY]
    text = F.concat_ws("\x1f", *[F.coalesce(part.cast("string"), F.lit("\x00")) for part in parts])
    return F.substring(F.sha2(text, 256), 1, 32)


def _known_action(action: Column) -> Column:
    return F.when(action.isin(list(ACTION_CODES)), action).otherwise(F.lit("other"))


def _available(df: DataFrame, timezone: str) -> DataFrame:
    landed = start_of_day(F.col(c.LANDING_DATE), timezone)
    return df.withColumn(c.AVAILABILITY_TIME, F.coalesce(c.AVAILABILITY_TIME, landed))


def _since_as_now(df: DataFrame) -> DataFrame:
    """One row a user: the first since which all say what the newest says. To hear the same again does not move its time."""
    number = F.coalesce(F.regexp_extract(c.FILE, NUMBERED, 1), F.lit(""))
    content = F.to_json(F.array_sort(F.map_entries(c.ATTRIBUTES)))
    order = F.struct(c.AVAILABILITY_TIME, c.LANDING_DATE, number, content)
    mine = Window.partitionBy(c.USER_ID)
    rows = df.withColumns({"_order": order, "_content": content})
    rows = rows.withColumn("_now", F.max_by("_content", "_order").over(mine))
    other = F.max(F.when(~F.col("_content").eqNullSafe(F.col("_now")), F.col("_order"))).over(mine)
    rows = rows.withColumn("_other", other).where(F.col("_other").isNull() | (F.col("_order") > F.col("_other")))
    rows = rows.withColumn("_nth", F.row_number().over(mine.orderBy("_order"))).where("_nth = 1")
    return rows.drop("_nth", "_order", "_content", "_now", "_other")
