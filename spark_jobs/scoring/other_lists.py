"""Lists that are nobody's own: items like an item, and what a segment chooses most. Parts of the same release."""

from typing import Final, NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.transforms.cooccurrence import NEIGHBOUR, SIMILARITY, neighbours
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.similar import OUTPUT, SimilarRules, similar_maker
from nightrank.spark_jobs.executor.users import ScoreRules

DEEPER: Final = 3
"""Nearest items of each kind that are merged, in lengths of the list."""
DAMPING: Final = 60.0
"""Of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""


class Catalogue(NamedTuple):
    """`ids`: `item`, `item_id`. `hidden`: `item`s that are in no list."""

    ids: DataFrame
    hidden: DataFrame


def similar_items(
    spark: SparkSession, settings: DataSections, known: DataFrame, catalogue: Catalogue, rules: ScoreRules
) -> DataFrame:
    """`item_id`, `rank`, `similar_id`, `score`, `cosine`, `together`, `reason`: the nearest by the ranker's vectors and by what
    users choose together, merged by their places. Of items that are in no list there are none, and they are in none."""
    count = settings.scoring.similar_items
    near = SimilarRules(rules.bundle, rules.manifest, rules.items, DEEPER * count)
    shown = catalogue.ids.join(catalogue.hidden.select(c.ITEM).distinct(), c.ITEM, "left_anti")
    tasks = spark.sparkContext.defaultParallelism
    by_model = shown.select(c.ITEM).repartition(tasks, c.ITEM).mapInArrow(similar_maker(near), to_spark(OUTPUT))
    codes = [ACTION_CODES[name] for name in settings.training_set.history_actions]
    by_users = neighbours(known.where(F.col(c.ACTION).isin(codes) & (F.col(c.WEIGHT) > 0)), DEEPER * count)
    by_users = by_users.withColumnRenamed(SIMILARITY, c.TOGETHER)
    both = _placed(by_model, c.COSINE).join(_placed(by_users, c.TOGETHER), [c.ITEM, NEIGHBOUR], "full")
    both = both.withColumn(c.SCORE, _share(c.COSINE) + _share(c.TOGETHER))
    names = shown.select(F.col(c.ITEM).alias(NEIGHBOUR), F.col(c.ITEM_ID).alias(c.SIMILAR_ID))
    both = both.join(shown, c.ITEM).join(names, NEIGHBOUR)
    rank = F.row_number().over(Window.partitionBy(c.ITEM).orderBy(F.desc(c.SCORE), NEIGHBOUR))
    kept = both.withColumn(c.RANK, rank).where(F.col(c.RANK) <= count)
    return kept.select(c.ITEM_ID, c.RANK, c.SIMILAR_ID, c.SCORE, c.COSINE, c.TOGETHER, _reason().alias(c.REASON))


def popular_items(settings: DataSections, popular: DataFrame, catalogue: Catalogue) -> DataFrame:
    """`segment`, `rank`, `item_id`, `count` of what each segment chose most lately, of items that may be shown."""
    shown = popular.join(catalogue.hidden.select(c.ITEM).distinct(), c.ITEM, "left_anti").join(catalogue.ids, c.ITEM)
    rank = F.row_number().over(Window.partitionBy(c.SEGMENT).orderBy(F.desc(c.COUNT), c.ITEM))
    kept = shown.withColumn(c.RANK, rank).where(F.col(c.RANK) <= settings.scoring.popular_items)
    return kept.select(c.SEGMENT, c.RANK, c.ITEM_ID, c.COUNT)


def _placed(rows: DataFrame, value: str) -> DataFrame:
    place = F.row_number().over(Window.partitionBy(c.ITEM).orderBy(F.desc(value), NEIGHBOUR))
    return rows.withColumn(f"{value}_place", place)


def _share(value: str) -> Column:
    return F.coalesce(1 / (F.lit(DAMPING) + F.col(f"{value}_place")), F.lit(0.0))


def _reason() -> Column:
    model = F.format_string("is like it to the model (cosine %.2f)", c.COSINE)
    users = F.format_string("is chosen by the same users (%.2f)", c.TOGETHER)
    return F.concat_ws("; ", F.when(F.col(c.COSINE).isNotNull(), model), F.when(F.col(c.TOGETHER).isNotNull(), users))
