"""What a Delta table is made with, and the CHECK constraints that one which others made gets."""

from typing import Final

from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import EVENTS, INTERACTIONS, ITEMS, USERS, TableRef
from nightrank.feature_store.object_storage.addresses import hadoop_uri

CHANGE_FEED: Final = {table.name for table in (EVENTS, ITEMS, USERS, INTERACTIONS)}
CONSTRAINT: Final = "delta.constraints."
ALREADY_THERE: Final = "DELTA_CONSTRAINT_ALREADY_EXISTS"


def properties_of(table: TableRef) -> dict[str, str]:
    """What a new table is made with."""
    fed = {"delta.enableChangeDataFeed": "true"} if table.name in CHANGE_FEED else {}
    return {"delta.enableDeletionVectors": "false", **fed, **{CONSTRAINT + name: sql for name, sql in table.checks.items()}}


def constrain(spark: SparkSession, lake: Lake, table: TableRef) -> None:
    """Adds the CHECK constraints that the table lacks, one version each."""
    if not table.checks:
        return
    stored = delta_read.open_table(lake, table.name).metadata().configuration
    for name, condition in table.checks.items():
        if CONSTRAINT + name not in stored:
            _add(spark, f"delta.`{hadoop_uri(lake.table(table.name))}`", name, condition)


def _add(spark: SparkSession, path: str, name: str, condition: str) -> None:
    try:
        spark.sql(f"ALTER TABLE {path} ADD CONSTRAINT {name} CHECK ({condition})")
    except AnalysisException as error:
        if error.getCondition() != ALREADY_THERE:  # else another writer has added it just now
            raise
