"""Landed rows as Spark sees them."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import SCHEMAS, Landed
from nightrank.feature_store.spark_schema import to_spark


def read(spark: SparkSession, lake: Lake, landed: Landed) -> DataFrame:
    """The rows in landing schema, with `landing_date` from the folder and `file` relative to the lake."""
    schema = to_spark(SCHEMAS[landed.kind])
    if not landed.files:
        empty = spark.createDataFrame([], schema)
        return empty.withColumns({c.LANDING_DATE: F.lit(None).cast("date"), c.FILE: F.lit(None).cast("string")})
    full = schema.add("day", "date")
    rows = (
        spark.read.schema(full)
        .option("basePath", lake.landing(landed.kind).hadoop)
        .parquet(*(file.hadoop for file in landed.files))
    )
    file = F.regexp_extract(F.col("_metadata.file_path"), r"landing/[^?]*$", 0)
    return rows.withColumn(c.FILE, file).withColumnRenamed("day", c.LANDING_DATE)
