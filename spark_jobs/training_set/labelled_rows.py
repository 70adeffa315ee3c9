"""Which impressions a run knows, with their answers, and where their splits are cut."""

from datetime import timedelta
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.impression_settings import ImpressionSettings
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import EVENTS
from nightrank.feature_store.days import day_start
from nightrank.feature_store.transforms.calendar import known_by
from nightrank.feature_store.transforms.impressions import Cuts, labelled, since
from nightrank.feature_store.transforms.splits import split_rule
from nightrank.spark_jobs.driver.sections import DataSections

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
SHARES: Final = [0.8, 0.9]
"""Of the rows by time, where there is no clock or too few days: what comes before is train, then valid, then test."""


def labelled_rows(spark: SparkSession, context: StageContext, settings: DataSections) -> DataFrame:
    """Every impression of the last `impressions.days` that is known by the end of the date, with its answers."""
    impressions = settings.impressions
    events = known_by(delta_io.read(spark, context.lake, EVENTS), context.day, settings.calendar.timezone)
    events = events.where(F.col(c.LANDING_DATE) <= F.lit(context.day))
    clock = has_clock(context)
    if clock:
        events = events.where(since(context.day, impressions.days))
    return labelled(events, shown=impressions.shown, labels=impressions.labels, window=_window(impressions) if clock else None)


def _window(impressions: ImpressionSettings) -> int:
    return int(impressions.label_minutes * MINUTE)


def has_clock(context: StageContext) -> bool:
    return context.lake.landing_meta()["clock"] != "position"


def cuts_of(context: StageContext, settings: DataSections, shown: DataFrame) -> Cuts | None:
    """By days like the other splits where that leaves as many days to train on, else by SHARES of the rows."""
    unit = MINUTE if has_clock(context) else SECOND
    # Exact, so that the same rows are cut at the same place again; of few distinct values, so that it fits in memory.
    quantiles = F.percentile(F.floor(F.col(c.EVENT_TIME) / unit), SHARES).alias("cuts")
    row = shown.agg(F.min(c.EVENT_DATE).alias("first"), F.max(c.EVENT_TIME).alias("last"), quantiles).first()
    assert row is not None  # an aggregate without groups has one row
    if row["first"] is None:
        return None
    by_share = [int(cut) * unit for cut in row["cuts"]]
    if not has_clock(context):
        return Cuts(by_share[0], by_share[1], end=row["last"] + 1, window=0)
    timezone = settings.calendar.timezone
    wanted = settings.training_set.model_copy(update={"split": "auto"})
    rule = split_rule(wanted, clock="real", first_day=row["first"], day=context.day, timezone=timezone)
    valid_from, test_from = rule.valid_from or by_share[0], rule.test_from or by_share[1]
    end = day_start(context.day + timedelta(days=1), timezone)
    return Cuts(valid_from, test_from, end, _window(settings.impressions))
