"""What a ranker reads of items beside their texts: constants fitted on the items of training rows, and the table under them."""

from collections.abc import Sequence
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import EXAMPLES, ITEM_INPUTS, ITEMS, VOCABULARY
from nightrank.feature_store.entries import record
from nightrank.feature_store.transforms import item_inputs

MAX_CATEGORIES: Final = 10_000
"""At most this many are in the snapshot's JSON, and each has an embedding; the rarest beyond this share code 0, none."""
MOST_NAMED: Final = 20


def write_item_inputs(
    spark: SparkSession,
    context: StageContext,
    numbers: tuple[str, ...],
    base: DatasetSnapshot | None,
    train: DataFrame | None,
    result: StageResult,
) -> Normalisation:
    """Constants are fitted on the items of training rows; a night keeps those its champion learnt with. `numbers` are what
    the settings name."""
    described = item_inputs.described_items(
        delta_io.read(spark, context.lake, VOCABULARY), delta_io.read_or_empty(spark, context.lake, ITEMS)
    )
    constants = base.normalisation if base else fitted(described, train, numbers)
    if numbers and base and set(numbers) != set(item_inputs.numbers_of(constants)) - {c.PRICE}:
        log.info(f"{result.name}: numbers of items stay those of the champion until the next full run")
    versions = {table.name: delta_io.version(context.lake, table) for table in (VOCABULARY, ITEMS, EXAMPLES["train"])}
    rows = item_inputs.item_inputs(described, constants).repartitionByRange(1, c.ITEM).sortWithinPartitions(c.ITEM)
    commit = delta_io.replace(rows, context.lake, ITEM_INPUTS, context=context, key=f"{result.name}:item_inputs@{versions}")
    record(result, spark, context.lake, commit)
    return constants


def fitted(described: DataFrame, train: DataFrame | None, numbers: tuple[str, ...]) -> Normalisation:
    """ConfigError where a number is named that no item of a training row has."""
    assert train is not None  # only a night without events has no rows, and it grows from a base
    trained = train.select(F.explode(c.ITEMS).alias(c.ITEM)).distinct()
    seen = described.join(trained, c.ITEM, "left_semi").cache()
    try:
        categories = tuple(row["category"] for row in item_inputs.category_counts(seen).limit(MAX_CATEGORIES).collect())
        moments = item_inputs.number_moments(seen, (c.PRICE, *numbers))
        if nowhere := [name for name in numbers if not moments[name].known]:
            raise _unknown(nowhere, seen)
        return item_inputs.normalisation(categories, moments)
    finally:
        seen.unpersist()


def _unknown(names: Sequence[str], items: DataFrame) -> ConfigError:
    keys = items.select(F.explode(F.map_keys(c.NUMBERS)).alias("key")).distinct().orderBy("key").limit(MOST_NAMED).collect()
    there = ", ".join(row["key"] for row in keys) or "none"
    return ConfigError(
        f"features.numbers {', '.join(names)}: no item of a training row has such a number (there are: {there})",
        "name the columns in `items.columns.numbers` of the mapping and import the catalogue again, or leave them out",
    )
