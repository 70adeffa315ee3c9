"""build_features: new ids enter the vocabulary, events become interactions, users and items get the features that are read.

A night reads the events that landed since the last build, the vocabulary, and of `interactions` what the limits need.
"""

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.built_from import key_of
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.feature_settings import FeatureSettings
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import TableRef
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.session import get_session
from nightrank.feature_store.transforms.calendar import known_by
from nightrank.feature_store.transforms.catalogue import known_items
from nightrank.feature_store.transforms.interactions import interactions
from nightrank.feature_store.transforms.limits import EXCESS, PER_DAY, PER_ITEM, exceeding, without_excess
from nightrank.feature_store.transforms.vocabulary import new_ids, sightings
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.features.landed_since import Landed, landed_since
from nightrank.spark_jobs.features.tables import write_features
from nightrank.spark_jobs.features.wanted import wanted
from nightrank.spark_jobs.ingest.days import landed_in

NAME = "build_features"
MOST_PRUNED_DAYS = 400


def run(context: StageContext) -> StageResult:
    """Vocabulary and interactions as of the run's date; the tables of the features that are read."""
    settings = submit.settings(context)
    features = wanted(context, settings)
    spark = get_session(settings.spark)
    landed, beyond = landed_since(spark, context, NAME), dict[str, int]()
    vocabulary = _grow_vocabulary(spark, context, settings, landed)
    commits = [vocabulary, _add_interactions(spark, context, settings, landed, beyond)]
    # A back-fill changes nothing that is current: its features come with the next night's.
    if not context.is_back_fill:
        commits += write_features(spark, context, settings.calendar.timezone, features, NAME)
    new = _new_ids(spark, context)
    return StageResult(
        NAME,
        rows_in=new["events"],
        rows_out=sum(commit.rows for commit in commits),
        bytes_written=sum(commit.bytes_written for commit in commits),
        tables=table_entries(spark, context.lake, [(tables.CATALOGUE[x.name], x.from_version) for x in commits]),
        counts={"new_users": new["user"], "new_items": new["item"], "left_out": beyond},
    )


def _known(spark: SparkSession, context: StageContext, settings: DataSections, table: TableRef) -> DataFrame:
    """Rows of a raw table that had landed and were available by the end of the run's date."""
    if table is tables.ITEMS:
        return known_items(delta_io.read(spark, context.lake, table), context.day, settings.calendar.timezone)
    landed = delta_io.read(spark, context.lake, table).where(F.col(c.LANDING_DATE) <= F.lit(context.day))
    return known_by(landed, context.day, settings.calendar.timezone)


def _events(spark: SparkSession, context: StageContext, landed: Landed) -> DataFrame:
    return delta_io.read(spark, context.lake, tables.EVENTS).where(landed.condition)


def _grow_vocabulary(spark: SparkSession, context: StageContext, settings: DataSections, landed: Landed) -> Commit:
    # Every landed event gets its ids now, even one that becomes available later: its interaction is written now as well.
    events = _events(spark, context, landed)
    items, users = (_known(spark, context, settings, table) for table in (tables.ITEMS, tables.USERS))
    fresh = new_ids(
        sightings(events, items, users), delta_io.read_or_empty(spark, context.lake, tables.VOCABULARY), context.day
    )
    # An id is only ever inserted: of two runs that both saw it new, the second finds it there.
    return delta_io.upsert(fresh, context.lake, tables.VOCABULARY, context=context, key=NAME, update=False)


def _add_interactions(
    spark: SparkSession, context: StageContext, settings: DataSections, landed: Landed, left_out: dict[str, int]
) -> Commit:
    """The events that are taken, also those of a day without interactions that another run should have built."""
    stored = delta_io.read_or_empty(spark, context.lake, tables.INTERACTIONS)
    stored = stored.where(f"{c.LANDING_DATE} <= DATE'{context.day}' AND NOT ({landed.condition})")
    events = _events(spark, context, landed)
    rows = interactions(events, delta_io.read(spark, context.lake, tables.VOCABULARY)).persist()
    days = _days(rows)
    kept = _within_limits(rows, stored, days, limits_of(settings.features, context), left_out)
    ordered = kept.repartitionByRange(c.EVENT_DATE).sortWithinPartitions(c.EVENT_DATE)
    key = key_of(NAME, tables.EVENTS, landed.upto)
    try:
        return delta_io.upsert(
            ordered, context.lake, tables.INTERACTIONS, context=context, key=key, update=False, prune=_on(days, "t.")
        )
    finally:
        rows.unpersist()


def limits_of(features: FeatureSettings, context: StageContext) -> list[tuple[str, tuple[str, ...], int]]:
    """(name, keys, most) of each limit that is on."""
    clock = context.lake.landing_meta().get("clock") != "position"
    per_day = features.most_events_user_day if clock else None
    limits = (("user_day", PER_DAY, per_day), ("user_item", PER_ITEM, features.most_events_user_item))
    return [(name, keys, most) for name, keys, most in limits if most is not None]


def _within_limits(
    rows: DataFrame,
    stored: DataFrame,
    days: list[date],
    limits: list[tuple[str, tuple[str, ...], int]],
    left_out: dict[str, int],
) -> DataFrame:
    """The rows that fit; `left_out` gets how many do not, by limit. Rows are only sorted where somebody exceeds one."""
    for name, keys, most in limits:
        near = _on(days) if c.EVENT_DATE in keys else None
        over = exceeding(rows, stored if near is None else stored.where(near), keys, most)
        found = over.agg(F.sum(EXCESS).alias(EXCESS), F.count(F.lit(1)).alias("groups")).first()
        assert found is not None  # an aggregate without groups has one row
        if found["groups"]:
            left_out[name] = int(found[EXCESS])
            log.info(f"{NAME}: {left_out[name]:,} events beyond the limit of {most} per {name} left out")
            rows = without_excess(rows, over, keys, most)
    return rows


def _days(rows: DataFrame) -> list[date]:
    """The days on which they happened, at most MOST_PRUNED_DAYS + 1 of them."""
    return [row[0] for row in rows.select(c.EVENT_DATE).distinct().limit(MOST_PRUNED_DAYS + 1).collect()]


def _on(days: list[date], alias: str = "") -> str | None:
    """A condition that leaves out files of other days, unless there are too many days to list."""
    listed = ", ".join(f"DATE'{day}'" for day in sorted(days))
    return f"{alias}{c.EVENT_DATE} IN ({listed})" if 0 < len(days) <= MOST_PRUNED_DAYS else None


def _new_ids(spark: SparkSession, context: StageContext) -> dict[str, int]:
    """Ids this date gave, by kind, and its interactions; from the tables, so the same when a stage is run again."""
    day = F.lit(context.day)
    given = delta_io.read(spark, context.lake, tables.VOCABULARY).where(F.col(c.LANDING_DATE) == day)
    landed = F.expr(landed_in(context, c.LANDING_DATE))
    events = delta_io.read(spark, context.lake, tables.INTERACTIONS).where(landed).select(F.lit("events").alias(c.KIND))
    counted = given.select(c.KIND).unionByName(events).groupBy(c.KIND).count().collect()
    return {"user": 0, "item": 0, "events": 0, **{row[c.KIND]: row["count"] for row in counted}}


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
