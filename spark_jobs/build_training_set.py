"""Interactions into training rows, one table a split, and the DatasetSnapshot that pins them."""

from datetime import date
from typing import Final

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.snapshot import SplitRule
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import EXAMPLES, INTERACTIONS
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.training_rows import Limits
from nightrank.feature_store.transforms.sequences import user_sequences
from nightrank.feature_store.transforms.splits import split_rule
from nightrank.feature_store.user_rows import RowRules
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.rows import rows_builder
from nightrank.spark_jobs.training_set import snapshot as training_snapshot
from nightrank.spark_jobs.training_set.chosen import chosen_rows
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
    chosen = chosen_rows(spark, context, settings, version, base.snapshot if base else None)
    rule = _rule_of_night(base) if base else _rule(context, settings, chosen.first_day)
    rules = row_rules(settings, rule, context.kind)
    rows = user_sequences(chosen.known).join(chosen.users, c.USER)
    built = rows.mapInArrow(rows_builder(rules), to_spark(EXAMPLES["train"].schema)).persist(StorageLevel.DISK_ONLY)
    try:
        result = StageResult(NAME, rows_in=chosen.rows)
        _write_splits(built, context, settings, result, f"{NAME}:{context.kind}@{version}")
        train = built.where(F.col(c.SPLIT) == "train")
        shown = write_impressions(spark, context, settings, result) if settings.impressions.enabled else None
        training_snapshot.publish_snapshot(
            spark, context, settings, rule=rule, base=base, train=train, result=result, impressions=shown
        )
    finally:
        built.unpersist()
        chosen.users.unpersist()
    return result


def _rule_of_night(base: training_snapshot.Base) -> SplitRule:
    """A night has no validation and test rows."""
    return base.snapshot.split.model_copy(update={"valid_from": None, "test_from": None})


def _rule(context: StageContext, settings: DataSections, first_day: date | None) -> SplitRule:
    assert first_day is not None  # a full run knows it
    return split_rule(
        settings.training_set,
        clock=context.lake.landing_meta()["clock"],
        first_day=first_day,
        day=context.day,
        timezone=settings.calendar.timezone,
    )


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
