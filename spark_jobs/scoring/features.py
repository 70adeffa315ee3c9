"""What scoring reads of features: the user's day counts and attributes beside each user, the items' as a file for executors."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import ITEM_DAYS, USER_ATTRIBUTES
from nightrank.spark_jobs.features.row_features import count_lists


def features_of_bundle(folder: Path) -> Features | None:
    """What the bundle's ranker reads beside histories; None where it reads nothing."""
    named = read_json(folder / "config.json").get("features")
    return None if named is None else Features.model_validate(named)


def with_features(users: DataFrame, spark: SparkSession, context: StageContext, features: Features | None) -> DataFrame:
    """`users` with `daily_day`, a `daily_<counter>` each, `attributes` and `known_from`, as far as they are read."""
    if features is None:
        return users
    if features.user:
        users = users.join(count_lists(spark, context, c.USER, counters_of(features.user)), c.USER, "left")
    if features.attributes:
        users = users.join(delta_io.read(spark, context.lake, USER_ATTRIBUTES), c.USER, "left")
    return users


def write_item_sums(spark: SparkSession, context: StageContext, features: Features | None, folder: Location) -> str | None:
    """The items' day counts are in the folder for executors to read; None where no aggregate of items is read."""
    if features is None or not features.item:
        return None
    names = (c.ITEM, c.DAY, *counters_of(features.item))
    delta_io.read(spark, context.lake, ITEM_DAYS).select(*names).write.parquet(folder.hadoop)
    return str(folder)
