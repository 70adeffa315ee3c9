"""Arrow schemas as Spark types, and the select that every table is written through."""

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.tables import TableRef


def to_spark(schema: pa.Schema) -> StructType:
    """The Spark schema with the same names and types, every column nullable."""
    result: StructType = from_arrow_schema(schema)
    return result


def conform(df: DataFrame, table: TableRef) -> DataFrame:
    """Exactly the table's columns, in its order and types. Columns the table does not have are left out.

    DataContractError names every column that `df` lacks. A value that does not fit its type fails the job (ANSI casts).
    """
    missing = [name for name in table.schema.names if name not in df.columns]
    if missing:
        raise DataContractError(
            f"table {table.name}: column {', '.join(missing)} is missing (there is {', '.join(df.columns)})",
            "the transform that feeds the table must produce every column of its schema",
        )
    return df.select([F.col(field.name).cast(field.dataType).alias(field.name) for field in to_spark(table.schema)])


def with_all_columns(df: DataFrame, table: TableRef) -> DataFrame:
    """A table that an older version made may lack a column: it is null in its rows."""
    lacking = [field for field in to_spark(table.schema).fields if field.name not in df.columns]
    return df.withColumns({field.name: F.lit(None).cast(field.dataType) for field in lacking}) if lacking else df
