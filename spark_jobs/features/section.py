"""What a snapshot says of features: the names that rankers of lists read, and the codes of attributes."""

from typing import Final

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.features import Attribute, Features
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import USER_ATTRIBUTES
from nightrank.spark_jobs.driver.sections import DataSections

MOST_VALUES: Final = 1_000
"""Values of an attribute with a code, the most frequent ones: they are in the snapshot, and each has an embedding."""


def features_section(
    spark: SparkSession, context: StageContext, settings: DataSections, base: DatasetSnapshot | None
) -> Features | None:
    """That of the settings, codes fitted on the users known by the date; for a night that of its base. None where nothing is
    read."""
    reads = settings.features
    named = (reads.user, reads.item, reads.attributes)
    if base is not None:
        known = base.features
        before = (known.user, known.item, tuple(each.name for each in known.attributes)) if known else ((), (), ())
        if any(named) and named != before:
            log.info("build_training_set: the night keeps the champion's features until the next full run")
        return known
    if not any(named):
        return None
    attributes = tuple(Attribute(name=name, values=_values(spark, context, name)) for name in reads.attributes)
    return Features(user=reads.user, item=reads.item, attributes=attributes, timezone=settings.calendar.timezone)


def _values(spark: SparkSession, context: StageContext, name: str) -> tuple[str, ...]:
    """Most frequent first, then by the value."""
    value = F.col(c.ATTRIBUTES)[name].alias("value")
    named = delta_io.read(spark, context.lake, USER_ATTRIBUTES).select(value).where(F.col("value").isNotNull())
    counted = named.groupBy("value").count().orderBy(F.desc("count"), "value").limit(MOST_VALUES)
    return tuple(row["value"] for row in counted.collect())
