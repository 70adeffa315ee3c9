"""The tables of features as of a run's date. Written whole: one pass over the interactions, whatever the day touched."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import INTERACTIONS, USERS, VOCABULARY
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.transforms.calendar import known_by
from nightrank.feature_store.transforms.cumulative import cumulative, user_attributes
from nightrank.feature_store.transforms.sequences import known_by as known_interaction
from nightrank.spark_jobs.features.wanted import Wanted


def write_features(spark: SparkSession, context: StageContext, timezone: str, features: Wanted, stage: str) -> list[Commit]:
    """`user_features`, `item_features` and `user_attributes` hold what is read of them; what is not read is not written.

    Rows are in order of the entity, then the day, over the files too.
    """
    commits: list[Commit] = []
    for part, table in features.parts.items():
        entity = table.keys[0]
        if part == "user_attributes":
            names = features.attributes
            rows = user_attributes(known_users(spark, context, timezone), _vocabulary(spark, context), names)
        else:
            known = delta_io.read(spark, context.lake, INTERACTIONS).where(known_interaction(context.day, timezone))
            names = features.user_counters if entity == c.USER else features.item_counters
            rows = cumulative(known, entity, names, timezone)
        ordered = rows.repartitionByRange(F.col(entity)).sortWithinPartitions(*table.keys)
        key = f"{stage}:{', '.join(names)}"
        commits.append(delta_io.replace(ordered, context.lake, table, context=context, key=key))
    return commits


def _vocabulary(spark: SparkSession, context: StageContext) -> DataFrame:
    return delta_io.read(spark, context.lake, VOCABULARY)


def known_users(spark: SparkSession, context: StageContext, timezone: str) -> DataFrame:
    """Users that had landed and were known by the end of the date."""
    users = delta_io.read_or_empty(spark, context.lake, USERS).where(F.col(c.LANDING_DATE) <= F.lit(context.day))
    return known_by(users, context.day, timezone)
