"""What a user had done before a row: read as of the day, and put beside each row by executors."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, IntegerType, StructField, StructType

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import INTERACTIONS, VOCABULARY
from nightrank.feature_store.transforms import impression_inputs as inputs
from nightrank.feature_store.transforms.sequences import known_interactions
from nightrank.spark_jobs.executor.past import history_adder


def history_events(spark: SparkSession, context: StageContext, actions: tuple[str, ...], timezone: str) -> DataFrame:
    """`user`, `event_time`, `event_id`, `availability_time` and `values` (raw item id) of what makes a history by the day."""
    known = known_interactions(
        delta_io.read(spark, context.lake, INTERACTIONS), day=context.day, timezone=timezone, actions=actions
    )
    names = delta_io.read(spark, context.lake, VOCABULARY).where(F.col(c.KIND) == "item")
    raw = names.select(F.col(c.DENSE_ID).alias(c.ITEM), F.col(c.RAW_ID).alias(inputs.VALUES))
    return known.join(raw, c.ITEM).select(c.USER, c.EVENT_TIME, c.EVENT_ID, c.AVAILABILITY_TIME, inputs.VALUES)


def add_history(rows: DataFrame, past: DataFrame, longest: int) -> DataFrame:
    """`rows` with `history` (newest `longest` values, oldest first) and `known`: nothing later than the row in either."""
    grouped = inputs.with_events(rows, past)
    value = past.schema[inputs.VALUES].dataType
    added = [StructField(c.HISTORY, ArrayType(value)), StructField(inputs.KNOWN, IntegerType())]
    schema = StructType([*rows.schema.fields, *added])
    return grouped.mapInArrow(history_adder(longest), schema)
