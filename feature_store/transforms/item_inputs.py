"""What the ranker reads of an item beside its text: category codes and normalised numbers, fitted on trained items."""

from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.snapshot import Normalisation

NUMERIC: Final = ("price", "price_missing")
_CATEGORY: Final = "category"
_CODE: Final = "code"


def described_items(vocabulary: DataFrame, items: DataFrame) -> DataFrame:
    """Every item of the vocabulary with its categories and price; an item known from events alone has neither."""
    ids = vocabulary.where(F.col(c.KIND) == "item").select(F.col(c.DENSE_ID).alias(c.ITEM), F.col(c.RAW_ID).alias(c.ITEM_ID))
    return ids.join(items.select(c.ITEM_ID, c.CATEGORIES, c.PRICE), c.ITEM_ID, "left").select(c.ITEM, c.CATEGORIES, c.PRICE)


def log_price() -> Column:
    """log(1 + price); null where the price is missing, negative or not a number."""
    usable = F.col(c.PRICE).isNotNull() & ~F.isnan(c.PRICE) & (F.col(c.PRICE) >= 0)
    return F.when(usable, F.log1p(F.col(c.PRICE)))


def category_counts(described: DataFrame) -> DataFrame:
    """`category`, `count` of items, most frequent first, then by name."""
    names = described.select(c.ITEM, F.explode(F.array_distinct(c.CATEGORIES)).alias(_CATEGORY))
    return names.where(F.col(_CATEGORY).isNotNull()).groupBy(_CATEGORY).count().orderBy(F.desc("count"), _CATEGORY)


def price_moments(described: DataFrame) -> DataFrame:
    """One row: `known` prices, mean and standard deviation of their logarithms."""
    price = log_price()
    return described.select(F.count(price).alias("known"), F.mean(price).alias("mean"), F.stddev_pop(price).alias("std"))


def normalisation(categories: tuple[str, ...], known: int, mean: float | None, std: float | None) -> Normalisation:
    """Constants out of `category_counts` and `price_moments`; without a single known price there are no numbers at all."""
    if not known or mean is None:
        return Normalisation(categories=categories)
    return Normalisation(numeric=NUMERIC, mean=(mean, 0.0), std=(std or 1.0, 1.0), categories=categories)


def item_inputs(described: DataFrame, constants: Normalisation) -> DataFrame:
    """One row an item: codes of its categories, ascending (names that were not fitted are left out), and its numbers."""
    codes = described.sparkSession.createDataFrame(
        [(name, code) for code, name in enumerate(constants.categories, start=1)], f"{_CATEGORY} string, {_CODE} int"
    )
    named = described.select(c.ITEM, F.explode(c.CATEGORIES).alias(_CATEGORY)).join(F.broadcast(codes), _CATEGORY)
    coded = named.groupBy(c.ITEM).agg(F.sort_array(F.collect_set(_CODE)).alias(c.CATEGORY_CODES))
    return described.join(coded, c.ITEM, "left").select(
        c.ITEM,
        F.coalesce(c.CATEGORY_CODES, F.array().cast("array<int>")).alias(c.CATEGORY_CODES),
        _numbers(constants).cast("array<float>").alias(c.NUMERIC),
    )


def _numbers(constants: Normalisation) -> Column:
    if not constants.numeric:
        return F.array()
    price = (log_price() - F.lit(constants.mean[0])) / F.lit(constants.std[0])
    return F.array(F.coalesce(price, F.lit(0.0)), log_price().isNull().cast("double"))
