"""What came into `interactions` after the champion's training set was built, of days up to the champion's own.

A day that was filled in later, or a file that was added to a finished day, landed on a date that the champion knows. Dates
alone would call it learnt. The champion's snapshot says which version of the table it was built from, and the table's log what
was added since.
"""

from datetime import date
from typing import Final

import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_log
from nightrank.feature_store.built_from import added
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.tables import INTERACTIONS
from nightrank.feature_store.spark_schema import to_spark

NAME: Final = "build_training_set"


def late_rows(spark: SparkSession, lake: Lake, base: DatasetSnapshot, version: int | None) -> DataFrame | None:
    """The rows of `interactions` at `version` that landed by the date of `base` and are not in what it was built from.

    None where there are none, and where the log no longer tells: then they wait for a full run, and the output says so.
    """
    since, learnt = base.tables.get(INTERACTIONS.name), date.fromisoformat(base.date)
    if since is None or version is None or since >= version:
        return None
    days = _days_added(lake, since, version, learnt)
    if days is None:
        log.info(f"{NAME}: the log of interactions no longer tells what came since {learnt}; a full run learns what came late")
        return None
    if not days:
        return None
    log.info(f"{NAME}: events of {', '.join(map(str, sorted(days)))} came after the champion was trained and are labels now")
    paths = delta_log.files_added(lake, INTERACTIONS, since, version) or []
    places = [(lake.table(INTERACTIONS.name) / path).hadoop for path in paths]
    rows = spark.read.schema(to_spark(INTERACTIONS.schema)).parquet(*places)
    return rows.where(F.col(c.LANDING_DATE) <= F.lit(learnt))


def _days_added(lake: Lake, since: int, version: int, learnt: date) -> set[date] | None:
    batches = added(lake, INTERACTIONS, since, version, (c.LANDING_DATE,))
    if batches is None:
        return None
    return {day for batch in batches for day in pc.unique(batch.column(0)).to_pylist() if day <= learnt}
