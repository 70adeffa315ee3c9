"""Rows of impressions or lists with what is known of their users and items: attributes, and aggregates as of a day."""

from collections.abc import Iterable, Sequence
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, FloatType, IntegerType, StructField, StructType

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import PREFIXES, counters_of, named_by_rows
from nightrank.feature_store.contracts.impression_settings import ATTRIBUTE_PREFIX
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import ITEM_DAYS, USER_ATTRIBUTES, USER_DAYS, TableRef
from nightrank.feature_store.transforms.impression_inputs import with_numbers
from nightrank.spark_jobs.executor.aggregates import NUMBERS, REQUESTED, aggregate_reader
from nightrank.spark_jobs.executor.features import DAILY

TABLES: Final[dict[str, TableRef]] = {c.USER: USER_DAYS, c.ITEM: ITEM_DAYS}
_ROWS: Final = "_rows"


def with_attributes(rows: DataFrame, spark: SparkSession, context: StageContext, fields: Iterable[str]) -> DataFrame:
    """`rows` with their users' `attributes` and `known_from`, null where nothing is known, if a field reads one."""
    if not any(name.startswith(ATTRIBUTE_PREFIX) for name in fields):
        return rows
    return rows.join(delta_io.read(spark, context.lake, USER_ATTRIBUTES), c.USER, "left")


def with_aggregates(
    rows: DataFrame, spark: SparkSession, context: StageContext, numeric: Sequence[str], day: Column
) -> DataFrame:
    """`rows` with the numbers among `numeric` that are aggregates, as of `day` (since 1970-01-01): of the days before it alone.

    Each entity is looked up once a day, however many rows ask.
    """
    found: dict[str, Column] = {}
    for entity, names in named_by_rows(numeric).items():
        counts = count_lists(spark, context, entity, counters_of(names))
        rows = rows.withColumn(c.DAY, day)
        numbers = _looked_up(rows, counts, entity, names).withColumnRenamed(NUMBERS, f"_{entity}")
        rows = rows.join(numbers, [entity, c.DAY], "left").drop(c.DAY)
        found |= {f"{PREFIXES[entity]}{name}": F.col(f"_{entity}")[place] for place, name in enumerate(names)}
    return with_numbers(rows, numeric, found).drop(*[f"_{entity}" for entity in PREFIXES]) if found else rows


def _looked_up(rows: DataFrame, counts: DataFrame, entity: str, names: tuple[str, ...]) -> DataFrame:
    requested = rows.select(entity, c.DAY).distinct().groupBy(entity).agg(F.collect_list(c.DAY).alias(REQUESTED))
    kinds = {entity: IntegerType(), c.DAY: IntegerType(), NUMBERS: ArrayType(FloatType())}
    schema = StructType([StructField(name, kind) for name, kind in kinds.items()])
    return requested.join(counts, entity, "left").mapInArrow(aggregate_reader(entity, names), schema)


def count_lists(spark: SparkSession, context: StageContext, entity: str, counters: Sequence[str]) -> DataFrame:
    """`entity`, and as lists of its days `daily_day` and a `daily_<counter>` each."""
    names = (c.DAY, *counters)
    stored = delta_io.read(spark, context.lake, TABLES[entity])
    grouped = stored.groupBy(entity).agg(F.collect_list(F.struct(*names)).alias(_ROWS))
    return grouped.select(entity, *[F.col(f"{_ROWS}.{name}").alias(DAILY + name) for name in names])
