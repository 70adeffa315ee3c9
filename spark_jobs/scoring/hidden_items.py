"""The items that are in no list tonight, as executors read them, and how many they are."""

from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import ITEMS, VOCABULARY
from nightrank.feature_store.transforms.catalogue import UNAVAILABLE, VANISHED, hidden_items
from nightrank.feature_store.transforms.vocabulary import dense


def write_hidden(
    spark: SparkSession, context: StageContext, items: int, vocabulary: int, folder: Location
) -> tuple[DataFrame, dict[str, Any]]:
    """`item`, `reason` of the items that are not to be recommended, written to `folder`; and {items_version, listed,
    unavailable, vanished}: the version of the catalogue that said so, and how many items of the vocabulary are which."""
    ids = delta_io.read(spark, context.lake, VOCABULARY, vocabulary)
    table = delta_io.read_or_empty(spark, context.lake, ITEMS, items)
    # The catalogue as it is now, also for an older date: the lists that this run makes are shown now.
    rows = dense(hidden_items(table), ids, "item").select(c.ITEM, c.REASON)
    rows.coalesce(1).write.parquet(folder.hadoop)
    written = spark.read.parquet(folder.hadoop)
    found = {row[c.REASON]: row["count"] for row in written.groupBy(c.REASON).count().collect()}
    known = ids.where(F.col(c.KIND) == "item").count()
    counts = {name: found.get(name, 0) for name in (UNAVAILABLE, VANISHED)}
    return written, {"items_version": items, "listed": known - sum(counts.values()), **counts}
