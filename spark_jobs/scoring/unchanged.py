"""Lists that stand from the night before: of users for whom nothing changed that a list is made of.

A list is a function of what is equal for all users (the model, the rules, the items that may be shown) and of the user's own
rows. Both are hashed into `inputs`, which `recommendations` keeps. Equal inputs, equal list.
"""

from collections.abc import Callable
from importlib.metadata import version as version_of
from typing import Any, Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.content_hash import Sums, row_columns, sums_over
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location, locate
from nightrank.feature_store.contracts.tables import RECOMMENDATIONS, VOCABULARY
from nightrank.feature_store.spark_schema import to_spark
from nightrank.spark_jobs.executor.list_rows import OUTPUT
from nightrank.spark_jobs.executor.score import list_scorer
from nightrank.spark_jobs.executor.users import ScoreRules

USERS_PER_TASK: Final = 20_000
PLACES: Final = ("bundle", "popular", "hidden", "item_sums", "rerank", "shop", "experiment", "seen_from")
"""Fields of the rules that name folders or move with the day: what they stand for is hashed instead."""


def with_inputs(users: DataFrame, spark: SparkSession, context: StageContext, rules: ScoreRules) -> DataFrame:
    """`users` with `inputs`: the hash of everything that the user's list is made of."""
    windows = [rules.seen_from, *(one.since for one in (rules.shop.bought if rules.shop else ()))]
    # The rows of a user are in order of time: as many inside a window as before means the same rows inside it.
    inside = [F.size(F.filter(c.TIMES, _since(since))) for since in windows if since is not None]
    own = row_columns(users.schema, [name for name in users.columns if name != c.USER])
    return users.withColumn(c.INPUTS, F.xxhash64(F.lit(_common(spark, context, rules)), *inside, *own))


def write_lists(spark: SparkSession, lake: Lake, users: DataFrame, rules: ScoreRules, work: Location) -> int:
    """Every user's list is in `work/lists` as OUTPUT. How many of them were scored: the others stand as they are released."""
    folder, release = (work / "lists").hadoop, _comparable_release(lake, rules)
    if release is not None:
        users.write.parquet((work / "users").hadoop)  # read several times below
        users = spark.read.parquet((work / "users").hadoop)
        same, kept = _standing(spark, lake, release, users)
        kept.write.parquet(folder)
        users = users.join(same, c.USER, "left_anti")
    count = users.count()
    tasks = max(spark.sparkContext.defaultParallelism, -(-count // USERS_PER_TASK))
    rows = users.repartition(tasks, c.USER).sortWithinPartitions(c.USER)
    rows.mapInArrow(list_scorer(rules), to_spark(OUTPUT)).write.mode("append").parquet(folder)
    return count


def _comparable_release(lake: Lake, rules: ScoreRules) -> Release | None:
    """The current release, where its lists are of the same model and nothing in them was drawn."""
    release = delta_read.latest_release(lake)
    if release is None or rules.experiment is not None or release.manifest_sha256 != rules.manifest:
        return None
    return release


def _standing(spark: SparkSession, lake: Lake, release: Release, users: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The `user`s whose inputs are what they were, and their released lists as OUTPUT. Who got what is popular is not among
    them: that changes every night."""
    rows = delta_io.read(spark, lake, RECOMMENDATIONS, release.recommendations_version)
    own = rows.where((F.col(c.RANK) == 1) & F.col(c.FALLBACK).isNull()).select(c.USER_ID, c.INPUTS)
    same = users.join(own, [c.USER_ID, c.INPUTS]).select(c.USER, c.USER_ID)
    ids = delta_io.read(spark, lake, VOCABULARY, release.vocabulary_version).where(F.col(c.KIND) == "item")
    ids = ids.select(F.col(c.RAW_ID).alias(c.ITEM_ID), F.col(c.DENSE_ID).alias(c.ITEM))
    found = rows.join(same, c.USER_ID).join(ids, c.ITEM_ID)
    kinds = {field.name: field.dataType for field in to_spark(OUTPUT).fields}
    columns = [(F.col(name) if name in found.columns else F.lit(None)).cast(kind).alias(name) for name, kind in kinds.items()]
    return same.select(c.USER), found.select(*columns)


def _common(spark: SparkSession, context: StageContext, rules: ScoreRules) -> str:
    """What every list of the night depends on."""
    known: dict[str, Any] = {name: value for name, value in rules._asdict().items() if name not in PLACES}
    known["hidden"] = _content(spark, rules.hidden)
    if rules.features is not None:  # looked up as of a day: tomorrow's are others
        known |= {"features": rules.features.model_dump(mode="json"), "day": str(context.day)}
    if rules.rerank is not None:
        known["rerank"] = [each.model_dump(mode="json") for each in (rules.rerank.settings, rules.rerank.candidates)]
        known["side"] = _content(spark, rules.rerank.side)
    if rules.shop is not None:
        known["shop"] = [[rule.model_dump(mode="json") for rule in rules.shop.rules], _content(spark, rules.shop.items)]
    if rules.rerank is not None or rules.shop is not None:
        known["popular"] = _content(spark, rules.popular)
    return sha256_of({**known, "version": version_of("nightrank")})


def _content(spark: SparkSession, folder: str | None) -> str:
    """Equal for equal rows, in whatever order and files."""
    if folder is None:
        return ""
    rows = spark.read.parquet(locate(folder).hadoop)
    row = sums_over(rows, row_columns(rows.schema, rows.columns)).first()
    assert row is not None  # an aggregate without groups has one row
    return str(Sums.of(row))


def _since(since: int) -> Callable[[Column], Column]:
    return lambda time: time >= F.lit(since)
