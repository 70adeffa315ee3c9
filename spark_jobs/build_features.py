"""build_features: new ids enter the vocabulary, events become interactions, and every user and item gets its features."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import DataSettings, FeatureSettings
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import TableRef
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.session import get_session
from nightrank.feature_store.transforms.activity import AsOf
from nightrank.feature_store.transforms.calendar import known_by
from nightrank.feature_store.transforms.interactions import interactions
from nightrank.feature_store.transforms.item_features import item_features
from nightrank.feature_store.transforms.user_features import user_features
from nightrank.feature_store.transforms.vocabulary import new_ids, sightings
from nightrank.spark_jobs.driver import submit

NAME = "build_features"
MOST_PRUNED_DAYS = 400
NO_CLOCK = "windowed features left out: this lake has positions and no clock"


def run(context: StageContext) -> StageResult:
    """Vocabulary, interactions, user_features and item_features as of the run's date."""
    settings = submit.settings(context)
    clock = context.lake.landing_meta().get("clock") != "position"
    as_of = AsOf(context.day, settings.calendar.timezone, _windows(settings.features, clock))
    spark = get_session(settings.spark)
    vocabulary = _grow_vocabulary(spark, context, settings)
    commits = [vocabulary, _add_interactions(spark, context), *_features(spark, context, settings, as_of)]
    new = _new_ids(spark, context)
    left_out = {} if clock else {"windowed_features": NO_CLOCK}
    return StageResult(
        NAME,
        rows_in=new["events"],
        rows_out=sum(commit.rows for commit in commits),
        bytes_written=sum(commit.bytes_written for commit in commits),
        tables=table_entries(spark, context.lake, [(tables.CATALOGUE[x.name], x.from_version) for x in commits]),
        counts={"new_users": new["user"], "new_items": new["item"], **left_out},
    )


def _windows(features: FeatureSettings, clock: bool) -> tuple[int, ...]:
    """The windows to compute; none without a clock. ConfigError if they were asked for and cannot be."""
    default = FeatureSettings().windows_days
    if not clock and features.windows_days not in {default, ()}:
        raise ConfigError(
            f"features.windows_days {list(features.windows_days)}: these events have positions and no clock",
            "leave features.windows_days unset, or import a source with timestamps",
        )
    return features.windows_days if clock else ()


def _known(spark: SparkSession, context: StageContext, settings: DataSettings, table: TableRef) -> DataFrame:
    """Rows of a raw table that had landed and were available by the end of the run's date."""
    return known_by(_landed(spark, context, table), context.day, settings.calendar.timezone)


def _landed(spark: SparkSession, context: StageContext, table: TableRef) -> DataFrame:
    return delta_io.read(spark, context.lake, table).where(F.col(c.LANDING_DATE) <= F.lit(context.day))


def _grow_vocabulary(spark: SparkSession, context: StageContext, settings: DataSettings) -> Commit:
    # Every landed event gets its ids now, even one that becomes available later: its interaction is written now as well.
    events = _landed(spark, context, tables.EVENTS)
    items, users = (_known(spark, context, settings, table) for table in (tables.ITEMS, tables.USERS))
    fresh = new_ids(
        sightings(events, items, users), delta_io.read_or_empty(spark, context.lake, tables.VOCABULARY), context.day
    )
    # An id is only ever inserted: of two runs that both saw it new, the second finds it there.
    return delta_io.upsert(fresh, context.lake, tables.VOCABULARY, context=context, key=NAME, update=False)


def _add_interactions(spark: SparkSession, context: StageContext) -> Commit:
    """Events of landing days that have no interaction yet, and of this run's own day: a day nobody built is caught up."""
    events = _landed(spark, context, tables.EVENTS)
    if context.kind == "nightly":
        built = delta_io.read_or_empty(spark, context.lake, tables.INTERACTIONS).select(c.LANDING_DATE).distinct()
        built = built.where(F.col(c.LANDING_DATE) != F.lit(context.day))
        events = events.join(F.broadcast(built), c.LANDING_DATE, "left_anti")
    rows = interactions(events, delta_io.read(spark, context.lake, tables.VOCABULARY))
    ordered = rows.repartitionByRange(c.EVENT_DATE).sortWithinPartitions(c.EVENT_DATE).persist()
    try:
        prune = _pruning(ordered) if delta_io.exists(context.lake, tables.INTERACTIONS) else None
        return delta_io.upsert(ordered, context.lake, tables.INTERACTIONS, context=context, key=NAME, update=False, prune=prune)
    finally:
        ordered.unpersist()


def _pruning(rows: DataFrame) -> str | None:
    """The days on which a row's duplicate could stand, unless they are too many to list."""
    days = [row[0] for row in rows.select(c.EVENT_DATE).distinct().limit(MOST_PRUNED_DAYS + 1).collect()]
    listed = ", ".join(f"DATE'{day}'" for day in sorted(days))
    return f"t.{c.EVENT_DATE} IN ({listed})" if 0 < len(days) <= MOST_PRUNED_DAYS else None


def _features(spark: SparkSession, context: StageContext, settings: DataSettings, as_of: AsOf) -> list[Commit]:
    """Both tables whole: the windows of everybody move on every day, not only of those the day touched."""
    past = as_of.known(delta_io.read(spark, context.lake, tables.INTERACTIONS).drop(c.EVENT_ID, c.LANDING_DATE))
    vocabulary = delta_io.read(spark, context.lake, tables.VOCABULARY)
    items, users = (_known(spark, context, settings, table) for table in (tables.ITEMS, tables.USERS))
    items = items.drop(c.TITLE, c.TEXT)
    # Both plans name each of these several times, and every name would be a look at Delta's log and a scan.
    held = [rows.persist() for rows in (past, vocabulary, items)]
    try:
        of_users = user_features(past, items, users, vocabulary, as_of=as_of, segment=settings.features.segment_attribute)
        of_items = item_features(past, items, vocabulary, as_of=as_of)
        return [
            delta_io.replace(of_users, context.lake, tables.USER_FEATURES, context=context, key=NAME),
            delta_io.replace(of_items, context.lake, tables.ITEM_FEATURES, context=context, key=NAME),
        ]
    finally:
        for rows in held:
            rows.unpersist()


def _new_ids(spark: SparkSession, context: StageContext) -> dict[str, int]:
    """Ids this date gave, by kind, and the date's interactions; from the tables, so the same when a stage is run again."""
    day = F.lit(context.day)
    given = delta_io.read(spark, context.lake, tables.VOCABULARY).where(F.col(c.LANDING_DATE) == day)
    landed = F.col(c.LANDING_DATE) <= day if context.kind == "full" else F.col(c.LANDING_DATE) == day
    events = delta_io.read(spark, context.lake, tables.INTERACTIONS).where(landed).select(F.lit("events").alias(c.KIND))
    counted = given.select(c.KIND).unionByName(events).groupBy(c.KIND).count().collect()
    return {"user": 0, "item": 0, "events": 0, **{row[c.KIND]: row["count"] for row in counted}}


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
