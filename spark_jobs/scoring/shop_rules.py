"""The shop's rules that tonight's lists follow: of the configuration, then of the table at the version that the run found."""

from collections.abc import Iterator
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any, Final, NamedTuple

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from nightrank.feature_store import delta_io, delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location, locate
from nightrank.feature_store.contracts.tables import ITEMS, LIST_RULES, VOCABULARY
from nightrank.feature_store.days import day_start
from nightrank.feature_store.rule_rows import Placed, check_named, read_rules
from nightrank.spark_jobs.driver.sections import DataSections
from nightrank.spark_jobs.executor.shop_rules import FILLED, Bought, ShopRules
from nightrank.spark_jobs.scoring.users import DAY, acted

BY_RULE: Final = "by_rule"
"""Reason why an item is hidden, beside those of the catalogue."""


class Shop(NamedTuple):
    """`version` is that of the table, None where there is none; `executors` is None where there are no rules."""

    version: int | None
    rules: tuple[ListRule, ...]
    executors: ShopRules | None


def shop_rules(
    spark: SparkSession, context: StageContext, settings: DataSections, versions: tuple[int, int], folder: Location
) -> Shop:
    """What the rules read of items is in `folder`. `versions`: of the tables of items and of the vocabulary.

    DataContractError for a rule of the configuration that names what the lake does not have.
    """
    version = context.found.list_rules if context.found else delta_read.table_version(context.lake, LIST_RULES.name)
    own = settings.scoring.rules
    check_named(context.lake, [Placed(rule, f"scoring.rules, rule {place}") for place, rule in enumerate(own, 1)])
    rules = (*own, *read_rules(context.lake, version))
    if not rules:
        return Shop(version, (), None)
    of_items(spark, context, versions).coalesce(1).write.parquet(folder.hadoop)
    bought = tuple(_bought(rule, context, settings) for rule in rules if rule.kind == "bought")
    return Shop(version, rules, ShopRules(rules, bought, str(folder)))


def of_items(spark: SparkSession, context: StageContext, versions: tuple[int, int]) -> DataFrame:
    """`item`, `item_id`, `categories`, `price`, `numbers` of every item of the vocabulary."""
    items, vocabulary = versions
    table = delta_io.read_or_empty(spark, context.lake, ITEMS, items)
    ids = delta_io.read(spark, context.lake, VOCABULARY, vocabulary).where(F.col(c.KIND) == "item")
    ids = ids.select(F.col(c.DENSE_ID).alias(c.ITEM), F.col(c.RAW_ID).alias(c.ITEM_ID))
    return ids.join(table.select(c.ITEM_ID, c.CATEGORIES, c.PRICE, c.NUMBERS), c.ITEM_ID, "left")


def forbidden(items: DataFrame, rules: tuple[ListRule, ...]) -> DataFrame:
    """`item`, `reason` of items that a rule keeps out of every list: the rules once more, in Spark, to check executors."""
    shown = [_names(rule) for rule in rules if rule.kind == "allow"]
    out = [_names(rule) & ~_inside(rule) for rule in rules if rule.kind in ("price", "stock")]
    out += [_names(rule) for rule in rules if rule.kind == "deny"]
    out += [~reduce(or_, shown)] if shown else []
    kept_out = reduce(or_, out, F.lit(False))
    return items.where(kept_out).select(c.ITEM, F.lit(BY_RULE).alias(c.REASON))


def with_bought(seen: DataFrame, known: DataFrame, shop: Shop) -> DataFrame:
    """`user`, `item` of `seen`, and of what rules about bought items take."""
    conditions = [acted(one.actions, one.since) for one in (shop.executors.bought if shop.executors else ())]
    if not conditions:
        return seen
    return seen.union(known.where(reduce(or_, conditions)).select(c.USER, c.ITEM)).distinct()


def hidden_by_all(spark: SparkSession, hidden: DataFrame, shop: Shop) -> DataFrame:
    """`item`, `reason` of the items that are in no list, by the catalogue or by a rule."""
    if shop.executors is None:
        return hidden
    return hidden.union(forbidden(spark.read.parquet(locate(shop.executors.items).hadoop), shop.rules))


def capped_items(spark: SparkSession, shop: Shop) -> Iterator[tuple[str, DataFrame, int]]:
    """Each cap's name, the `item`s that it is about, and how many of them a list may hold."""
    for rule in shop.rules:
        if rule.kind == "cap" and shop.executors is not None:
            items = spark.read.parquet(locate(shop.executors.items).hadoop)
            yield rule.label, items.where(_names(rule)).select(c.ITEM), rule.at_most or 0


def counts(lists: DataFrame, shop: Shop) -> dict[str, Any] | None:
    """{version, rules, filled: lists with an item that fills, taken: lists that lost one}; None where there are no rules."""
    if not shop.rules:
        return None
    filled = F.countDistinct(F.when(F.col(c.FALLBACK) == FILLED, F.col(c.USER)))
    row = lists.agg(filled.alias("filled"), F.count(c.TAKEN).alias("taken")).first()
    assert row is not None  # an aggregate without groups has one row
    return {"version": shop.version, "rules": len(shop.rules), "filled": row["filled"], "taken": row["taken"]}


def _bought(rule: ListRule, context: StageContext, settings: DataSections) -> Bought:
    end = day_start(context.day + timedelta(days=1), settings.calendar.timezone)
    codes = tuple(ACTION_CODES[name] for name in rule.actions)
    return Bought(rule.label, codes, None if rule.days is None else end - rule.days * DAY)


def _names(rule: ListRule) -> Column:
    found = F.lit(True) if rule.item is None else F.col(c.ITEM_ID) == rule.item
    within = F.lit(True) if rule.category is None else F.array_contains(c.CATEGORIES, rule.category)
    return F.coalesce(found & within, F.lit(False))


def _inside(rule: ListRule) -> Column:
    value = F.col(c.PRICE) if rule.number is None else F.try_element_at(F.col(c.NUMBERS), F.lit(rule.number))
    low = F.lit(True) if rule.lowest is None else value >= rule.lowest
    high = F.lit(True) if rule.highest is None else value <= rule.highest
    return F.coalesce(low & high, F.lit(False))
