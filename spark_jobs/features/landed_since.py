"""Which landing days of `events` a build takes: the run's own, and those that were taken in and never built."""

from dataclasses import dataclass
from datetime import date

import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.built_from import added, built_from
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.holds import held_days
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import EVENTS, INTERACTIONS
from nightrank.spark_jobs.ingest.days import landed_in


@dataclass(frozen=True)
class Landed:
    """`condition` (SQL, on a landing date) is true for the days that are taken; `upto`: the version of `events` that all of is
    in `interactions` afterwards, None where some of it is left for a later run."""

    condition: str
    upto: int | None


def landed_since(spark: SparkSession, context: StageContext, stage: str) -> Landed:
    """A full run takes all that landed by its date; a night its own days and what `events` got since the last build."""
    version = delta_io.version(context.lake, EVENTS)
    own = landed_in(context, c.LANDING_DATE)
    if context.kind == "full":
        later = delta_io.read(spark, context.lake, EVENTS).where(F.col(c.LANDING_DATE) > F.lit(context.day))
        return Landed(f"{c.LANDING_DATE} <= DATE'{context.day}'", version if later.isEmpty() else None)
    since = built_from(context.lake, INTERACTIONS, stage, EVENTS)
    days = None if since is None or version is None else _days_added(context, since, version)
    if days is None:
        log.info(f"{stage}: all events are looked through once for days that were never built")
        since, days = None, _days_without_interactions(spark, context)
    held = held_days(context.lake)
    taken = {day for day in days if day <= context.day and day not in held}
    upto = version if days <= taken | held else since
    named = ", ".join(f"DATE'{day}'" for day in sorted(taken))
    return Landed(f"({own} OR {c.LANDING_DATE} IN ({named}))" if taken else own, upto)


def _days_added(context: StageContext, since: int, version: int) -> set[date] | None:
    batches = added(context.lake, EVENTS, since, version, (c.LANDING_DATE,))
    return None if batches is None else {day for batch in batches for day in pc.unique(batch.column(0)).to_pylist()}


def _days_without_interactions(spark: SparkSession, context: StageContext) -> set[date]:
    days = [
        delta_io.read_or_empty(spark, context.lake, table).select(c.LANDING_DATE).distinct() for table in (EVENTS, INTERACTIONS)
    ]
    return {row[0] for row in days[0].subtract(days[1]).collect()}
