"""The tables of features: day counts of users and items, and the attributes of users that are read."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import USERS, VOCABULARY, TableRef
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.transforms.calendar import known_by
from nightrank.feature_store.transforms.day_counts import user_attributes
from nightrank.spark_jobs.features.day_tables import write_day_table
from nightrank.spark_jobs.features.wanted import Wanted


def write_features(spark: SparkSession, context: StageContext, timezone: str, features: Wanted, stage: str) -> list[Commit]:
    """`user_days`, `item_days` and `user_attributes` hold what is read of them; what is not read is not written."""
    return [
        _write_attributes(spark, context, timezone, features.attributes, table, stage)
        if part == "user_attributes"
        else write_day_table(spark, context, table, timezone, stage)
        for part, table in features.parts.items()
    ]


def _write_attributes(
    spark: SparkSession, context: StageContext, timezone: str, names: tuple[str, ...], table: TableRef, stage: str
) -> Commit:
    """Written whole, in order of the user, over the files too."""
    rows = user_attributes(known_users(spark, context, timezone), _vocabulary(spark, context), names)
    ordered = rows.repartitionByRange(F.col(c.USER)).sortWithinPartitions(*table.keys)
    return delta_io.replace(ordered, context.lake, table, context=context, key=f"{stage}:{', '.join(names)}")


def _vocabulary(spark: SparkSession, context: StageContext) -> DataFrame:
    return delta_io.read(spark, context.lake, VOCABULARY)


def known_users(spark: SparkSession, context: StageContext, timezone: str) -> DataFrame:
    """Users that had landed and were known by the end of the date."""
    users = delta_io.read_or_empty(spark, context.lake, USERS).where(F.col(c.LANDING_DATE) <= F.lit(context.day))
    return known_by(users, context.day, timezone)
