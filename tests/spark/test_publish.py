"""What may be pinned, and what a snapshot's files are."""

import pyarrow.parquet as pq
import pytest

from nightrank.feature_store import delta_read, publish
from nightrank.feature_store.contracts.errors import DataContractError

pytestmark = pytest.mark.spark


@pytest.fixture
def table(spark, lake):
    path = lake.table("t")
    spark.range(100).repartition(3).write.format("delta").save(str(path))
    return path


def test_pins_have_the_rows_of_every_row_group_and_only_the_version(spark, lake, table):
    old = publish.pin(lake, "t", 0)
    spark.range(7).repartition(1).write.format("delta").mode("overwrite").save(str(table))
    new = publish.pin(lake, "t", 1)
    assert (old.rows, len(old.files), new.rows, len(new.files)) == (100, 3, 7, 1)
    assert publish.pin(lake, "t", 0) == old and old.schema_fingerprint == new.schema_fingerprint
    assert [file.path for file in old.files] == sorted(file.path for file in old.files)
    for file in old.files:
        assert sum(file.row_groups) == file.rows == pq.read_metadata(table / file.path).num_rows
        assert file.bytes == (table / file.path).size
    assert delta_read.rows_of(lake, "t", 0) == 100 and delta_read.table_version(lake, "t") == 1


def test_another_schema_has_another_fingerprint(spark, lake, table):
    spark.range(3).selectExpr("id", "id AS other").write.format("delta").option("overwriteSchema", True).mode("overwrite").save(
        str(table)
    )
    assert publish.pin(lake, "t", 0).schema_fingerprint != publish.pin(lake, "t", 1).schema_fingerprint


def test_partitions_are_refused(spark, lake):
    spark.range(4).selectExpr("id", "id % 2 AS p").write.format("delta").partitionBy("p").save(str(lake.table("p")))
    with pytest.raises(DataContractError, match="partitioned by p"):
        publish.pin(lake, "p", 0)


def test_deletion_vectors_are_refused_until_they_are_purged(spark, lake, table):
    spark.sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    spark.sql(f"DELETE FROM delta.`{table}` WHERE id = 5")
    with pytest.raises(DataContractError, match="deletion vectors"):
        publish.pin(lake, "t", delta_read.table_version(lake, "t"))
    spark.sql(f"REORG TABLE delta.`{table}` APPLY (PURGE)")
    assert publish.pin(lake, "t", delta_read.table_version(lake, "t")).rows == 99


def test_column_mapping_is_refused(spark, lake, table):
    properties = "'delta.columnMapping.mode' = 'name', 'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5'"
    spark.sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ({properties})")
    with pytest.raises(DataContractError, match="maps column names"):
        publish.pin(lake, "t", 1)


def test_a_version_or_table_that_is_not_there_is_named(lake, table):
    with pytest.raises(DataContractError, match="t cannot be read at version 9"):
        publish.pin(lake, "t", 9)
    with pytest.raises(DataContractError, match="table u does not exist"):
        publish.pin(lake, "u", 0)
