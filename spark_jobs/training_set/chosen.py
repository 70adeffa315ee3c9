"""Whose events a run makes training rows of: all users for a full run, those touched or replayed for a night."""

from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import NothingToDo
from nightrank.feature_store.contracts.landing_days import folded_days
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import INTERACTIONS, VOCABULARY
from nightrank.feature_store.transforms.replay import exemplars, is_past_label, replayed, reservoir
from nightrank.feature_store.transforms.sequences import FRESH, REPLAY, fresh_interactions, known_interactions
from nightrank.feature_store.transforms.splits import held_out
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.rows import HELD_OUT, REPLAYED
from nightrank.spark_jobs.training_set.late_rows import late_rows


class Chosen(NamedTuple):
    """`users` (persisted): `user`, `held_out`, `replayed`; `known`: what is known of them by the end of the date."""

    users: DataFrame
    known: DataFrame
    rows: int
    """Interactions that a full run knows; of a night those that are new."""
    first_day: date | None = None


def chosen_rows(
    spark: SparkSession, context: StageContext, settings: DataSections, version: int | None, base: DatasetSnapshot | None
) -> Chosen:
    """Of `interactions` at `version`; fresh is what the champion (trained on `base`) was trained without: what was not known by
    its date, held days that were accepted since, and what came into the table later. NothingToDo where there is nothing to
    learn from."""
    stored, rows = delta_io.read(spark, context.lake, INTERACTIONS, version), settings.training_set
    learnt = None if base is None else date.fromisoformat(base.date)
    late = None if base is None else late_rows(spark, context.lake, base, version)
    known = _knowing(context, settings, learnt, late)
    if context.kind != "nightly":
        return _full(spark, context, settings, known(stored))
    if rows.replay_choice != "uniform":
        return _replaying_events(spark, context, settings, known(stored))
    fresh = fresh_interactions(
        stored,
        day=context.day,
        timezone=settings.calendar.timezone,
        actions=rows.history_actions,
        learnt=learnt,
        folded=folded_days(context),
        late=late,
    )
    touched = fresh.groupBy(c.USER).agg(F.count(F.lit(1)).alias("n")).persist()
    try:
        count = _expect(touched.agg(F.sum("n")).collect()[0][0], context, settings)
        users = _touched_or_replayed(_users(spark, context, settings), touched.select(c.USER)).persist()
        users.count()  # so that Spark knows how few they are when it plans the join
        return Chosen(users, known(stored.join(users.select(c.USER), c.USER, "left_semi")), count)
    finally:
        touched.unpersist()


def _knowing(
    context: StageContext, settings: DataSections, learnt: date | None, late: DataFrame | None
) -> Callable[[DataFrame], DataFrame]:
    rows = settings.training_set
    return lambda interactions: known_interactions(
        interactions,
        day=context.day,
        timezone=settings.calendar.timezone,
        actions=rows.history_actions,
        learnt=learnt,
        folded=folded_days(context),
        late=late,
        against=rows.against_actions,
        weights=rows.action_weights,
    )


def _full(spark: SparkSession, context: StageContext, settings: DataSections, known: DataFrame) -> Chosen:
    found = known.agg(F.count(F.lit(1)), F.min(c.EVENT_DATE)).collect()[0]
    count = _expect(found[0], context, settings)
    return Chosen(_users(spark, context, settings).persist(), known, count, found[1])


def _replaying_events(spark: SparkSession, context: StageContext, settings: DataSections, known: DataFrame) -> Chosen:
    """Every past label takes part in the choice, so this reads all that is known."""
    rows = settings.training_set
    found = known.agg(F.count_if(FRESH), F.count_if(is_past_label())).collect()[0]
    count = _expect(found[0], context, settings)
    choose = reservoir if rows.replay_choice == "reservoir" else exemplars
    known = choose(known, seed=context.seed, events=rows.replay_events, past=found[1])
    users = _users(spark, context, settings).withColumn(REPLAYED, F.lit(False))
    touched = known.where(F.col(FRESH) | F.col(REPLAY)).select(c.USER).distinct()
    users = _touched_or_replayed(users, touched).persist()
    return Chosen(users, known.join(users.select(c.USER), c.USER, "left_semi"), count)


def _expect(count: int | None, context: StageContext, settings: DataSections) -> int:
    if not count:
        raise NothingToDo(
            f"{context.day} brought no event with one of the actions {', '.join(settings.training_set.history_actions)}",
            "lists stay as they are; check training_set.history_actions if that is not expected",
        )
    return count


def _users(spark: SparkSession, context: StageContext, settings: DataSections) -> DataFrame:
    draw, rows = settings.training_set, delta_io.read(spark, context.lake, VOCABULARY)
    return rows.where(F.col(c.KIND) == "user").select(
        F.col(c.DENSE_ID).alias(c.USER),
        held_out(seed=context.seed, day=context.day, modulus=draw.holdout_modulus).alias(HELD_OUT),
        replayed(seed=context.seed, day=context.day, fraction=draw.replay_fraction).alias(REPLAYED),
    )


def _touched_or_replayed(users: DataFrame, touched: DataFrame) -> DataFrame:
    marked = users.join(touched.withColumn("touched", F.lit(True)), c.USER, "left")
    return marked.where(F.col("touched").isNotNull() | F.col(REPLAYED)).drop("touched")
