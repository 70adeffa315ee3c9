"""One hash for a table's content, whatever the order, files or versions it is stored in."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

from nightrank.feature_store.contracts.tables import TableRef
from nightrank.feature_store.spark_schema import to_spark


class Sums(NamedTuple):
    """Row count and two sums of row hashes. Those of a table are the sums of those of its parts."""

    rows: int
    first: int
    second: int

    @classmethod
    def of(cls, row: Row) -> "Sums":
        return cls(row["rows"], int(row["sum_1"] or 0), int(row["sum_2"] or 0))


def content_sha256(df: DataFrame, table: TableRef) -> str:
    """sha256 over (columns, row count, two sums of row hashes): equal for equal multisets of rows, computed in Spark.

    Volatile columns are left out. Maps count as sorted entries, floats bit by bit; null differs from empty and from zero.
    """
    row = row_sums(df, table).first()
    assert row is not None  # an aggregate without groups has one row
    return sha256_of_sums(table, Sums.of(row))


def row_sums(df: DataFrame, table: TableRef, by: Column | None = None) -> DataFrame:
    """`rows`, `sum_1`, `sum_2` of the whole, or of each value of `by`."""
    return sums_over(df, row_columns(to_spark(table.schema), table.content_columns), by)


def sums_over(df: DataFrame, cells: Sequence[Column], by: Column | None = None) -> DataFrame:
    """As `row_sums`, over columns as `row_columns` makes them."""
    sums = [F.sum(F.xxhash64(F.lit(seed), *cells).cast("decimal(38,0)")).alias(f"sum_{seed}") for seed in (1, 2)]
    return (df if by is None else df.groupBy(by)).agg(F.count(F.lit(1)).alias("rows"), *sums)


def sha256_of_sums(table: TableRef, sums: Sums) -> str:
    # Rows without a sum said None before sums were added up.
    first, second = (sums.first, sums.second) if sums.rows else (None, None)
    body = f"{table.name}|{','.join(table.content_columns)}|{sums.rows}|{first}|{second}"
    return hashlib.sha256(body.encode()).hexdigest()


def comparable(column: Column, kind: object) -> Column:
    """The column in a form that Spark can compare and hash: a map becomes its entries in key order."""
    return F.sort_array(F.map_entries(column)) if isinstance(kind, MapType) else column


def row_columns(schema: StructType, names: Sequence[str]) -> list[Column]:
    """xxhash64 skips nulls, so each value is preceded by what tells null, and an array's length, apart."""
    parts: list[Column] = []
    for name in names:
        kind, column = schema[name].dataType, F.col(name)
        nested = isinstance(kind, ArrayType | MapType)
        parts += [F.coalesce(F.size(column), F.lit(-1)) if nested else F.isnull(column), comparable(column, kind)]
    return parts
