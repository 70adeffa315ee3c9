"""Lists of three plain recommenders for the rows the model is measured on, fitted on what the model's loss may have seen."""

from typing import Final
from uuid import uuid4

from pyspark.ml.recommendation import ALS as MLlibALS
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.settings import BaselineSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import BASELINE_LISTS, EXAMPLES, INTERACTIONS
from nightrank.feature_store.entries import record
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.transforms.cooccurrence import neighbours, popularity
from nightrank.feature_store.transforms.sequences import known_interactions
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.baselines import ALS, COOCCURRENCE, DAY, POPULAR, ListRules, list_maker

NAME: Final = "score_baselines"
MEASURED: Final[tuple[PartName, ...]] = ("test", "holdout")
ALS_BLOCKS: Final = 2
"""A sum of two blocks does not depend on which came first, so the same data gives the same factors to the bit."""


def run(context: StageContext) -> StageResult:
    """`baseline_lists` holds one list per evaluation row of `test` and `holdout` and baseline, seen items left out."""
    settings = submit.settings(context)
    spark = get_session(settings.spark)
    snapshot = load_snapshot(context.run_dir / "snapshot.json")
    # A name of its own: a Python worker that is reused must not find the fit of an earlier attempt in its cache.
    work = context.run_dir / NAME / uuid4().hex
    result = StageResult(NAME)
    lists = spark.createDataFrame([], to_spark(BASELINE_LISTS.schema))
    try:
        for split in MEASURED:
            if not snapshot.rows(split):
                continue
            known = (_trained if split == "test" else _all_but_held_out)(spark, context, settings, snapshot).cache()
            result.rows_in += (rows := known.count())
            if rows:
                fit(known, _window(snapshot, split, settings.baselines), settings.baselines, context.seed, work / split)
                lists = lists.unionByName(_lists(spark, context, settings, snapshot, split, work / split))
            known.unpersist()
        key = f"{NAME}:lists@{snapshot.id}"
        commit = delta_io.replace(lists, context.lake, BASELINE_LISTS, context=context, key=key)
        record(result, spark, context.lake, commit)
        result.rows_out = delta_read.rows_of(context.lake, BASELINE_LISTS.name, commit.to_version)
    finally:
        (context.run_dir / NAME).remove_tree()
    return result


def _trained(spark: SparkSession, context: StageContext, settings: DataSections, snapshot: DatasetSnapshot) -> DataFrame:
    """`user`, `item`, `event_time` of every position of the train rows: what the measured model learnt from."""
    rows = delta_io.read(spark, context.lake, EXAMPLES["train"], snapshot.parts["train"].version)
    position = F.explode(F.arrays_zip(c.ITEMS, c.TIMES)).alias("position")
    return (
        rows.select(c.USER, position)
        .select(c.USER, F.col("position.items").alias(c.ITEM), F.col("position.times").alias(c.EVENT_TIME))
        .distinct()
    )


def _all_but_held_out(
    spark: SparkSession, context: StageContext, settings: DataSections, snapshot: DatasetSnapshot
) -> DataFrame:
    """`user`, `item`, `event_time` of all that is known, less held-out events and what their users did from then on."""
    known = known_interactions(
        delta_io.read(spark, context.lake, INTERACTIONS, snapshot.tables[INTERACTIONS.name]),
        day=context.day,
        timezone=settings.calendar.timezone,
        actions=settings.training_set.history_actions,
        against=settings.training_set.against_actions,
        weights=settings.training_set.action_weights,
    )
    known = known.where(F.col(c.WEIGHT) > 0).select(c.USER, c.ITEM, c.EVENT_TIME)
    held = delta_io.read(spark, context.lake, EXAMPLES["holdout"], snapshot.parts["holdout"].version)
    held = held.select(c.USER, F.element_at(c.TIMES, -1).alias("from"))
    return known.join(held, c.USER, "left").where(F.col("from").isNull() | (F.col(c.EVENT_TIME) < F.col("from"))).drop("from")


def _window(snapshot: DatasetSnapshot, split: str, settings: BaselineSettings) -> int | None:
    """Since when an event counts as recent: `popular_days` before what may be known ends; None where there is no clock."""
    if snapshot.clock == "position":
        return None
    end = snapshot.split.valid_from if split == "test" and snapshot.split.valid_from else snapshot.event_time_cutoff + 1
    return end - settings.popular_days * DAY


def fit(known: DataFrame, recent_from: int | None, settings: BaselineSettings, seed: int, folder: Location) -> None:
    """Writes the three fitted tables to `folder`, where executors read them; none passes through the driver."""
    log.info(f"{NAME}: fitting for {folder.name}")
    popularity(known, recent_from).write.parquet((folder / POPULAR).hadoop)
    neighbours(known, settings.neighbours).write.parquet((folder / COOCCURRENCE).hadoop)
    pairs = known.select(c.USER, c.ITEM).distinct().withColumn("rating", F.lit(1.0))
    # Without checkpoints the lineage of ten iterations is deep enough to overflow an executor's stack.
    known.sparkSession.sparkContext.setCheckpointDir((folder / "checkpoints").hadoop)
    ordered = pairs.repartition(ALS_BLOCKS, c.USER).sortWithinPartitions(c.USER, c.ITEM)
    als(settings, seed).fit(ordered).itemFactors.write.parquet((folder / ALS).hadoop)


def als(settings: BaselineSettings, seed: int) -> MLlibALS:
    return MLlibALS(
        rank=settings.als_rank,
        maxIter=settings.als_iterations,
        regParam=settings.als_regularisation,
        alpha=settings.als_alpha,
        implicitPrefs=True,
        numUserBlocks=ALS_BLOCKS,
        numItemBlocks=ALS_BLOCKS,
        checkpointInterval=2,
        seed=seed,
        userCol=c.USER,
        itemCol=c.ITEM,
        ratingCol="rating",
    )


def _lists(
    spark: SparkSession,
    context: StageContext,
    settings: DataSections,
    snapshot: DatasetSnapshot,
    split: PartName,
    folder: Location,
) -> DataFrame:
    rules = ListRules(
        folder=str(folder),
        split=split,
        items=snapshot.items,
        k=settings.baselines.k,
        history=settings.baselines.history,
        regularisation=settings.baselines.als_regularisation,
        alpha=settings.baselines.als_alpha,
        seen_actions=snapshot.filter_seen_actions,
        seen_days=snapshot.filter_seen_days,
    )
    rows = delta_io.read(spark, context.lake, EXAMPLES[split], snapshot.parts[split].version)
    # One small file is one task otherwise, and the other cores would wait.
    even = rows.repartition(spark.sparkContext.defaultParallelism, c.USER).sortWithinPartitions(c.USER)
    return even.mapInArrow(list_maker(rules), to_spark(BASELINE_LISTS.schema))


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
