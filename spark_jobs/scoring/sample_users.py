"""A few users with what they did and what they are shown, for the report: titles and letters. Ids of users only by setting."""

from typing import Any, Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import INTERACTIONS, ITEMS, RECOMMENDATIONS, VOCABULARY
from nightrank.feature_store.transforms.sequences import known_interactions
from nightrank.spark_jobs.driver.sections import DataSections

USERS: Final = 6
HISTORY: Final = 10
_LABEL: Final = "label"


def sample_users(spark: SparkSession, context: StageContext, settings: DataSections, version: int) -> list[dict[str, Any]]:
    """[{user, history [titles], list [{title, score}], fallback}] of six users by the hash in their list id, one of them
    cold if there is one. The history is the newest ten events, oldest first. With
    `ids.in_report` each has its `user_id` too."""
    named = settings.config.is_on("ids.in_report")
    lists = delta_io.read(spark, context.lake, RECOMMENDATIONS, version)
    chosen = _chosen(lists)
    letters = {user: chr(ord("A") + index) for index, user in enumerate(sorted(chosen))}
    labels = spark.createDataFrame(list(letters.items()), f"{c.USER_ID} string, {_LABEL} string")
    titles = _titles(spark, context)
    events = _events(spark, context, settings, labels)
    history = _by_label(events.join(titles, c.ITEM_ID, "left"), c.EVENT_TIME)
    shown = _by_label(lists.join(F.broadcast(labels), c.USER_ID).join(titles, c.ITEM_ID, "left"), c.RANK)
    return [
        {
            "user": label,
            **({c.USER_ID: user} if named else {}),
            "history": [row[c.TITLE] for row in history.get(label, [])][-HISTORY:],
            "list": [{"title": row[c.TITLE], "score": round(row[c.SCORE], 4)} for row in shown[label]],
            "fallback": shown[label][0][c.FALLBACK],
        }
        for user, label in letters.items()
    ]


def _chosen(lists: DataFrame) -> list[str]:
    """User ids in the order of their list ids, which is that of a hash."""
    heads = lists.where(F.col(c.RANK) == 1).orderBy(c.LIST_ID)
    cold = [row[c.USER_ID] for row in heads.where(F.col(c.FALLBACK).isNotNull()).limit(1).collect()]
    warm = [row[c.USER_ID] for row in heads.where(F.col(c.FALLBACK).isNull()).limit(USERS - len(cold)).collect()]
    return warm + cold


def _titles(spark: SparkSession, context: StageContext) -> DataFrame:
    """`item`, `item_id`, `title`; an item without a title goes by its id."""
    vocabulary = delta_io.read(spark, context.lake, VOCABULARY).where(F.col(c.KIND) == "item")
    ids = vocabulary.select(F.col(c.DENSE_ID).alias(c.ITEM), F.col(c.RAW_ID).alias(c.ITEM_ID))
    items = delta_io.read_or_empty(spark, context.lake, ITEMS).select(c.ITEM_ID, c.TITLE)
    return ids.join(items, c.ITEM_ID, "left").withColumn(c.TITLE, F.coalesce(c.TITLE, c.ITEM_ID))


def _events(spark: SparkSession, context: StageContext, settings: DataSections, labels: DataFrame) -> DataFrame:
    vocabulary = delta_io.read(spark, context.lake, VOCABULARY)
    kinds = {kind: vocabulary.where(F.col(c.KIND) == kind) for kind in ("user", "item")}
    users = kinds["user"].join(F.broadcast(labels), F.col(c.RAW_ID) == F.col(c.USER_ID))
    items = kinds["item"].select(F.col(c.DENSE_ID).alias(c.ITEM), F.col(c.RAW_ID).alias(c.ITEM_ID))
    known = known_interactions(
        delta_io.read(spark, context.lake, INTERACTIONS),
        day=context.day,
        timezone=settings.calendar.timezone,
        actions=settings.training_set.history_actions,
    )
    mine = known.join(F.broadcast(users.select(F.col(c.DENSE_ID).alias(c.USER), _LABEL)), c.USER)
    return mine.select(_LABEL, c.ITEM, c.EVENT_TIME).join(items, c.ITEM).drop(c.ITEM)


def _by_label(rows: DataFrame, order: str) -> dict[str, list[Any]]:
    """At most six users' rows, each user's in order."""
    result: dict[str, list[Any]] = {}
    for row in rows.orderBy(_LABEL, order).collect():
        result.setdefault(row[_LABEL], []).append(row)
    return result
