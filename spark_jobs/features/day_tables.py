"""`user_days` and `item_days`: what was counted of each user and item on each day. A night writes the days that got an event.

They follow from `interactions` alone, whatever the run's date: a look-up at a day sees the days before it and nothing else.
"""

from typing import Final

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.built_from import added, built_from, key_of
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import INTERACTIONS, TableRef
from nightrank.feature_store.days import days_of
from nightrank.feature_store.delta_io import Commit
from nightrank.feature_store.transforms.day_counts import day_counts, known_on

MOST_DAYS: Final = 400
"""Where more days than these have to be counted again, the table is written whole."""


def write_day_table(spark: SparkSession, context: StageContext, table: TableRef, timezone: str, stage: str) -> Commit:
    """Afterwards the table counts all of `interactions`. A night counts the days again that got an event since the last time,
    each of them whole; a full run, and the first night on a lake without the table, counts all days."""
    version = delta_io.version(context.lake, INTERACTIONS)
    assert version is not None  # this stage has just written it
    days = None if context.kind == "full" else _days_due(context, table, timezone, stage, version)
    known = delta_io.read(spark, context.lake, INTERACTIONS, version)
    key = key_of(stage, INTERACTIONS, version)
    if days is None:
        log.info(f"{stage}: {table.name} is counted from all interactions")
        return delta_io.replace(_counted(known, table, timezone), context.lake, table, context=context, key=key)
    log.info(f"{stage}: {table.name}, days counted again: {len(days)}")
    if not days:
        before = delta_io.version(context.lake, table) or 0
        return Commit(table.name, before, before, 0, 0)
    rows = _counted(known.where(known_on(days, timezone)), table, timezone)
    named = ", ".join(map(str, sorted(days)))
    return delta_io.replace_where(rows, context.lake, table, f"{c.DAY} IN ({named})", context=context, key=key)


def _counted(known: DataFrame, table: TableRef, timezone: str) -> DataFrame:
    """In order of the day, so that a day that is counted again is in few files."""
    rows = day_counts(known, table.keys[0], timezone)
    return rows.repartitionByRange(F.col(c.DAY), F.col(table.keys[0])).sortWithinPartitions(c.DAY, table.keys[0])


def _days_due(context: StageContext, table: TableRef, timezone: str, stage: str, version: int) -> set[int] | None:
    """The days (since 1970-01-01) that `interactions` got an event of since the table was written; None for all."""
    since = built_from(context.lake, table, stage, INTERACTIONS)
    if since is None:
        return None
    batches = added(context.lake, INTERACTIONS, since, version, (c.EVENT_TIME, c.AVAILABILITY_TIME))
    if batches is None:
        return None
    days: set[int] = set()
    for batch in batches:
        known = np.maximum(*(batch.column(place).to_numpy() for place in range(2)))
        days.update(np.unique(days_of(known, timezone)).tolist())
    return days if len(days) <= MOST_DAYS else None
