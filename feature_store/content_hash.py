"""One hash for a table's content, whatever the order, files or versions it is stored in."""

import hashlib
from functools import reduce

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

from nightrank.feature_store.contracts.tables import TableRef
from nightrank.feature_store.spark_schema import to_spark


def content_sha256(df: DataFrame, table: TableRef) -> str:
    """sha256 over (columns, row count, two sums of row hashes): equal for equal multisets of rows, computed in Spark.

    Volatile columns are left out. Maps count as sorted entries, floats bit by bit; null differs from empty and from zero.
    """
    return content_hashes([(df, table)])[0]


def content_hashes(contents: list[tuple[DataFrame, TableRef]]) -> list[str]:
    """The `content_sha256` of each, in one query: planning and starting one costs more than hashing a small table."""
    summed = [_sums(df, table).withColumn("place", F.lit(place)) for place, (df, table) in enumerate(contents)]
    rows = {row["place"]: row for row in reduce(DataFrame.unionByName, summed).collect()}
    return [_sha256(table, rows[place]) for place, (_, table) in enumerate(contents)]


def _sums(df: DataFrame, table: TableRef) -> DataFrame:
    row = _row_columns(to_spark(table.schema), table.content_columns)
    sums = [F.sum(F.xxhash64(F.lit(seed), *row).cast("decimal(38,0)")).alias(f"sum_{seed}") for seed in (1, 2)]
    return df.agg(F.count(F.lit(1)).alias("rows"), *sums)


def _sha256(table: TableRef, sums: Row) -> str:
    body = f"{table.name}|{','.join(table.content_columns)}|{sums['rows']}|{sums['sum_1']}|{sums['sum_2']}"
    return hashlib.sha256(body.encode()).hexdigest()


def comparable(column: Column, kind: object) -> Column:
    """The column in a form that Spark can compare and hash: a map becomes its entries in key order."""
    return F.sort_array(F.map_entries(column)) if isinstance(kind, MapType) else column


def _row_columns(schema: StructType, names: tuple[str, ...]) -> list[Column]:
    """xxhash64 skips nulls, so each value is preceded by what tells null, and an array's length, apart."""
    parts: list[Column] = []
    for name in names:
        kind, column = schema[name].dataType, F.col(name)
        nested = isinstance(kind, ArrayType | MapType)
        parts += [F.coalesce(F.size(column), F.lit(-1)) if nested else F.isnull(column), comparable(column, kind)]
    return parts
