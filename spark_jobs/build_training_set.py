"""Interactions into training rows, one table a split, and the DatasetSnapshot that pins them."""

from datetime import date
from typing import Final

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.errors import ConfigError, NothingToDo
from nightrank.feature_store.contracts.snapshot import SplitRule
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import EXAMPLES, INTERACTIONS, VOCABULARY
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.training_rows import Limits
from nightrank.feature_store.transforms.replay import exemplars, is_past_label, replayed, reservoir
from nightrank.feature_store.transforms.sequences import FRESH, REPLAY, known_interactions, user_sequences
from nightrank.feature_store.transforms.splits import held_out, split_rule
from nightrank.feature_store.user_rows import RowRules
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.rows import HELD_OUT, REPLAYED, rows_builder
from nightrank.spark_jobs.training_set import snapshot as training_snapshot
from nightrank.spark_jobs.training_set.pointwise import write_impressions
from nightrank.spark_jobs.training_set.split_tables import write_splits

NAME: Final = "build_training_set"
FULL_SPLITS: Final = ("train", "refit", "valid", "test", "holdout")
NIGHT_SPLITS: Final = ("train", "holdout")


def run(context: StageContext) -> StageResult:
    """Every position that may be learnt is in one row of `train` or `refit`; the snapshot of it all is published.

    A night without events writes no rows: its snapshot has only what is known of items.
    """
    settings = submit.settings(context)
    base = training_snapshot.night_base(context) if context.kind == "nightly" else None
    spark = get_session(settings.spark)
    if base is not None and context.without_events:
        result = StageResult(NAME)
        training_snapshot.publish_snapshot(
            spark, context, settings, rule=_rule_of_night(base), base=base, train=None, result=result
        )
        return result
    version = delta_io.version(context.lake, INTERACTIONS)
    known = _known(spark, context, settings, version, date.fromisoformat(base.snapshot.date) if base else None)
    facts = _facts(context, settings, known)
    rule = _rule_of_night(base) if base else _rule(context, settings, facts["first_day"])
    known = _with_replay(known, context, settings, facts["past"])
    users = _users(spark, context, settings, known)
    rules = row_rules(settings, rule, context.kind)
    rows = user_sequences(known.join(users.select(c.USER), c.USER, "left_semi")).join(users, c.USER)
    built = rows.mapInArrow(rows_builder(rules), to_spark(EXAMPLES["train"].schema)).persist(StorageLevel.DISK_ONLY)
    try:
        result = StageResult(NAME, rows_in=facts["rows"])
        _write_splits(built, context, settings, result, f"{NAME}:{context.kind}@{version}")
        train = built.where(F.col(c.SPLIT) == "train")
        shown = write_impressions(spark, context, settings, result) if settings.impressions.enabled else None
        training_snapshot.publish_snapshot(
            spark, context, settings, rule=rule, base=base, train=train, result=result, impressions=shown
        )
    finally:
        built.unpersist()
    return result


def _known(
    spark: SparkSession, context: StageContext, settings: DataSections, version: int | None, learnt: date | None
) -> DataFrame:
    """What is known by the end of the date; fresh is what was not by the date the champion was trained on (`learnt`)."""
    return known_interactions(
        delta_io.read(spark, context.lake, INTERACTIONS, version),
        day=context.day,
        timezone=settings.calendar.timezone,
        actions=settings.training_set.history_actions,
        learnt=learnt,
        against=settings.training_set.against_actions,
        weights=settings.training_set.action_weights,
    )


def _facts(context: StageContext, settings: DataSections, known: DataFrame) -> Row:
    """`rows`, `past` labels and `first_day` of what the run may know, in one pass; NothingToDo where nothing is there to
    learn from."""
    fresh = F.count_if(FRESH).alias("fresh")
    past = F.count_if(is_past_label()).alias("past")
    row = known.agg(F.count(F.lit(1)).alias("rows"), fresh, past, F.min(c.EVENT_DATE).alias("first_day")).first()
    assert row is not None  # an aggregate without groups has one row
    if not row["fresh" if context.kind == "nightly" else "rows"]:
        raise NothingToDo(
            f"{context.day} brought no event with one of the actions {', '.join(settings.training_set.history_actions)}",
            "lists stay as they are; check training_set.history_actions if that is not expected",
        )
    return row


def _rule_of_night(base: training_snapshot.Base) -> SplitRule:
    """A night has no validation and test rows."""
    return base.snapshot.split.model_copy(update={"valid_from": None, "test_from": None})


def _rule(context: StageContext, settings: DataSections, first_day: date) -> SplitRule:
    return split_rule(
        settings.training_set,
        clock=context.lake.landing_meta()["clock"],
        first_day=first_day,
        day=context.day,
        timezone=settings.calendar.timezone,
    )


def _with_replay(known: DataFrame, context: StageContext, settings: DataSections, past: int) -> DataFrame:
    """On a night that replays single events: with `replay`, true for those."""
    rows = settings.training_set
    if context.kind != "nightly" or rows.replay_choice == "uniform":
        return known
    choose = reservoir if rows.replay_choice == "reservoir" else exemplars
    return choose(known, seed=context.seed, events=rows.replay_events, past=past)


def _users(spark: SparkSession, context: StageContext, settings: DataSections, known: DataFrame) -> DataFrame:
    """`user`, `held_out`, `replayed`: all users for a full run, those touched or replayed for a night."""
    draw, rows = settings.training_set, delta_io.read(spark, context.lake, VOCABULARY)
    users = rows.where(F.col(c.KIND) == "user").select(
        F.col(c.DENSE_ID).alias(c.USER),
        held_out(seed=context.seed, day=context.day, modulus=draw.holdout_modulus).alias(HELD_OUT),
        replayed(seed=context.seed, day=context.day, fraction=draw.replay_fraction).alias(REPLAYED),
    )
    if context.kind != "nightly":
        return users
    by_event = REPLAY in known.columns
    if by_event:
        users = users.withColumn(REPLAYED, F.lit(False))
    touched = (
        known.where(F.col(FRESH) | F.col(REPLAY) if by_event else F.col(FRESH))
        .select(c.USER)
        .distinct()
        .withColumn("touched", F.lit(True))
    )
    return users.join(touched, c.USER, "left").where(F.col("touched").isNotNull() | F.col(REPLAYED)).drop("touched")


def row_rules(settings: DataSections, rule: SplitRule, kind: str) -> RowRules:
    """The settings as codes and microseconds. ConfigError where a chunk could hold nothing new."""
    rows = settings.training_set
    if rows.overlap >= rows.max_length or rows.min_history >= rows.max_length:
        raise ConfigError(
            f"training_set.overlap {rows.overlap}, min_history {rows.min_history} must be below max_length {rows.max_length}",
            "lower them or raise training_set.max_length",
        )
    return RowRules(
        limits=Limits(rows.max_length, rows.overlap, rows.min_history),
        kind="night" if kind == "nightly" else rule.kind,
        collapse_repeats=rows.collapse_repeats,
        valid_from=rule.valid_from or 0,
        test_from=rule.test_from or 0,
        target_actions=None if rows.target_actions is None else tuple(ACTION_CODES[name] for name in rows.target_actions),
    )


def _write_splits(built: DataFrame, context: StageContext, settings: DataSections, result: StageResult, key: str) -> None:
    def in_files(rows: DataFrame, files: int) -> DataFrame:
        order = F.xxhash64(F.lit(context.seed), F.col(c.USER))
        return rows.repartition(files, order).sortWithinPartitions(order, c.USER, c.N, c.LOSS_FROM, c.TIMES, c.ITEMS)

    splits = NIGHT_SPLITS if context.kind == "nightly" else FULL_SPLITS
    tables, rows_per_file = {split: EXAMPLES[split] for split in splits}, settings.training_set.rows_per_file
    result.counts["rows"] = write_splits(
        built, tables, context, result, rows_per_file=rows_per_file, in_files=in_files, key=key
    )


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
