"""What the ranker reads of an item beside its text: category codes and normalised numbers, fitted on trained items."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.snapshot import Normalisation

MISSING: Final = "_missing"
"""Behind the name of a number: 1 where the item has none."""
_CATEGORY: Final = "category"
_CODE: Final = "code"


class Moments(NamedTuple):
    known: int
    """Items that have the number."""
    mean: float | None
    std: float | None


def described_items(vocabulary: DataFrame, items: DataFrame) -> DataFrame:
    """Every item of the vocabulary with its categories, price and numbers; an item known from events alone has none."""
    ids = vocabulary.where(F.col(c.KIND) == "item").select(F.col(c.DENSE_ID).alias(c.ITEM), F.col(c.RAW_ID).alias(c.ITEM_ID))
    known = (c.CATEGORIES, c.PRICE, c.NUMBERS)
    return ids.join(items.select(c.ITEM_ID, *known), c.ITEM_ID, "left").select(c.ITEM, *known)


def log_price() -> Column:
    """log(1 + price); null where the price is missing, negative or not a number."""
    usable = F.col(c.PRICE).isNotNull() & ~F.isnan(c.PRICE) & (F.col(c.PRICE) >= 0)
    return F.when(usable, F.log1p(F.col(c.PRICE)))


def log_number(name: str) -> Column:
    """The price as `log_price`; of other numbers, which may be negative, sign(x) log(1 + |x|). Null where it is missing."""
    if name == c.PRICE:
        return log_price()
    number = F.col(c.NUMBERS)[name]
    return F.signum(number) * F.log1p(F.abs(number))


def category_counts(described: DataFrame) -> DataFrame:
    """`category`, `count` of items, most frequent first, then by name."""
    names = described.select(c.ITEM, F.explode(F.array_distinct(c.CATEGORIES)).alias(_CATEGORY))
    return names.where(F.col(_CATEGORY).isNotNull()).groupBy(_CATEGORY).count().orderBy(F.desc("count"), _CATEGORY)


def number_moments(described: DataFrame, names: Sequence[str]) -> dict[str, Moments]:
    """Of each number's logarithms, those that an item has."""
    logs = {name: log_number(name) for name in names}
    moments = [F.struct(F.count(log), F.mean(log), F.stddev_pop(log)).alias(name) for name, log in logs.items()]
    row = described.select(*moments).first()
    assert row is not None  # an aggregate without groups has one row
    return {name: Moments(*row[name]) for name in names}


def normalisation(categories: tuple[str, ...], moments: Mapping[str, Moments]) -> Normalisation:
    """The constants; a number that no item has is left out."""
    known = {name: (each.mean, each.std or 1.0) for name, each in moments.items() if each.known and each.mean is not None}
    return Normalisation(
        numeric=tuple(column for name in known for column in (name, name + MISSING)),
        mean=tuple(value for mean, _ in known.values() for value in (mean, 0.0)),
        std=tuple(value for _, std in known.values() for value in (std, 1.0)),
        categories=categories,
    )


def numbers_of(constants: Normalisation) -> tuple[str, ...]:
    """The names behind the columns, price first."""
    return constants.numeric[::2]


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
    columns: list[Column] = []
    for name, mean, std in zip(numbers_of(constants), constants.mean[::2], constants.std[::2], strict=True):
        scaled = (log_number(name) - F.lit(mean)) / F.lit(std)
        columns += [F.coalesce(scaled, F.lit(0.0)), log_number(name).isNull().cast("double")]
    return F.array(*columns)
