"""What scoring reads of users beside their ids: histories, segments, and what was popular in each segment lately."""

from datetime import timedelta
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import VOCABULARY
from nightrank.feature_store.days import day_start
from nightrank.feature_store.transforms.segments import popularity_by_segment, user_segments
from nightrank.feature_store.transforms.sequences import user_sequences
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.features.tables import known_users

DAY: Final = 86_400_000_000


def acted(actions: tuple[int, ...], since: int | None) -> Column:
    """The event is one of these actions, and not older than that microsecond."""
    mine = F.col(c.ACTION).isin(list(actions))
    return mine if since is None else mine & (F.col(c.EVENT_TIME) >= F.lit(since))


def segments(spark: SparkSession, context: StageContext, settings: DataSections, vocabulary: int) -> DataFrame:
    """`user`, `segment` of every user that has one, by the version of the vocabulary; no row where no attribute is named."""
    attribute = settings.features.segment_attribute
    if attribute is None:
        return spark.createDataFrame([], f"{c.USER} int, {c.SEGMENT} string")
    ids = delta_io.read(spark, context.lake, VOCABULARY, vocabulary)
    return user_segments(known_users(spark, context, settings.calendar.timezone), ids, attribute)


def popular(context: StageContext, settings: DataSections, known: DataFrame, of_users: DataFrame) -> DataFrame:
    """Popularity of the last `fallback_days` by segment, of all time where there is no clock."""
    codes = [ACTION_CODES[name] for name in settings.training_set.history_actions]
    recent = known.where(F.col(c.ACTION).isin(codes) & (F.col(c.WEIGHT) > 0))
    if context.lake.landing_meta()["clock"] != "position":
        end = day_start(context.day + timedelta(days=1), settings.calendar.timezone)
        recent = recent.where(F.col(c.EVENT_TIME) >= F.lit(end - settings.scoring.fallback_days * DAY))
    return popularity_by_segment(recent, of_users)


def users_with_histories(users: DataFrame, known: DataFrame, of_users: DataFrame) -> DataFrame:
    """`users` with their segment, empty where they have none, and their sorted `items`, `actions` and `times`."""
    sequences = user_sequences(known).select(c.USER, c.ITEMS, c.ACTIONS, c.TIMES)
    empty = {c.ITEMS: "array<int>", c.ACTIONS: "array<tinyint>", c.TIMES: "array<bigint>"}
    return (
        users.join(sequences, c.USER, "left")
        .join(of_users, c.USER, "left")
        .select(
            c.USER,
            c.USER_ID,
            F.coalesce(c.SEGMENT, F.lit("")).alias(c.SEGMENT),
            *[F.coalesce(name, F.array().cast(kind)).alias(name) for name, kind in empty.items()],
        )
    )
