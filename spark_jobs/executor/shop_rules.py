"""A shop's rules inside executors: which items each forbids, how much of a category it lets in, and what it took from a list.

Shapes: B lists, C candidates, K places, I1 = items + 1 (id 0: no item).
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.list_rules import ListRule
from nightrank.feature_store.contracts.storage import local_folder, locate

FILLED: Final = "filled_after_rules"
"""What `fallback` says of an item that fills a list which rules made too short."""
Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Bought(NamedTuple):
    """What a user had these actions on, since that microsecond, is not shown to this user."""

    label: str
    actions: tuple[int, ...]
    since: int | None


class ShopRules(NamedTuple):
    """`items` is a folder with one row an item: `item`, `item_id`, `categories`, `price`, `numbers`."""

    rules: tuple[ListRule, ...]
    bought: tuple[Bought, ...]
    items: str


class Cap(NamedTuple):
    label: str
    member_I: Ids
    """1 of an item of the category, 0 of others."""
    at_most: int


class OpenRules(NamedTuple):
    allowed: tuple[tuple[str, Flags], ...]
    """[I1] by the rule's name: True of an item that it lets through."""
    caps: tuple[Cap, ...]
    item_ids: pa.Array

    def allowed_I(self, rows: int) -> Flags:
        whole = np.ones(rows, dtype=bool)
        for _, allowed in self.allowed:
            whole &= allowed
        return whole


@lru_cache(maxsize=1)
def open_rules(shop: ShopRules, rows: int) -> OpenRules:
    """Of the items 0..rows - 1. Opened once per Python worker."""
    from nightrank.ranker.rerank.allowed import in_price_range

    table = pq.read_table(local_folder(locate(shop.items))).sort_by(c.ITEM)
    table = table.filter(pc.less(table[c.ITEM], rows))
    side = _Side(table, rows)
    allowed: list[tuple[str, Flags]] = []
    if shown := [rule for rule in shop.rules if rule.kind == "allow"]:
        allowed.append(("allow", np.logical_or.reduce([side.named(rule) for rule in shown])))
    for rule in shop.rules:
        if rule.kind == "deny":
            allowed.append((rule.label, ~side.named(rule)))
        elif rule.kind in ("price", "stock"):
            inside = in_price_range(side.number(rule.number), rule.lowest, rule.highest)
            allowed.append((rule.label, inside | ~side.named(rule)))
    caps = tuple(
        Cap(rule.label, side.named(rule).astype(np.int64), rule.at_most or 0) for rule in shop.rules if rule.kind == "cap"
    )
    return OpenRules(tuple(allowed), caps, side.item_ids)


class _Side:
    def __init__(self, table: pa.Table, rows: int) -> None:
        self.table, self.rows, self.at = table.combine_chunks(), rows, table[c.ITEM].to_numpy()
        ids = np.full(rows, None, dtype=object)
        ids[self.at] = table[c.ITEM_ID].to_pylist()
        self.item_ids = pa.array(ids, pa.string())

    def named(self, rule: ListRule) -> Flags:
        """[I1] the items that the rule is about."""
        found = np.ones(len(self.at), dtype=bool)
        if rule.item is not None:
            found &= np.array(pc.equal(self.table[c.ITEM_ID], rule.item))
        if rule.category is not None:
            categories = self.table[c.CATEGORIES].combine_chunks()
            has = pc.equal(pc.list_flatten(categories), rule.category)
            inside = np.zeros(len(self.at), dtype=bool)
            inside[np.array(pc.list_parent_indices(categories).filter(has))] = True
            found &= inside
        flags = np.zeros(self.rows, dtype=bool)
        flags[self.at[found]] = True
        return flags

    def number(self, name: str | None) -> npt.NDArray[np.float64]:
        """[I1] the price, or the number of that name; NaN where it is not known."""
        values = self.table[c.PRICE] if name is None else pc.map_lookup(self.table[c.NUMBERS], pa.scalar(name), "last")
        numbers = np.full(self.rows, np.nan)
        numbers[self.at] = values.to_numpy()
        return numbers


def within_caps(lists: Any, caps: tuple[Cap, ...]) -> tuple[Any, list[tuple[str, Any]]]:
    """The lists with at most so many items of each category, and the lists before each cap, by its name."""
    from nightrank.ranker.rerank.caps import NO_CAP, capped

    before: list[tuple[str, Any]] = []
    for cap in caps:
        before.append((cap.label, lists))
        lists = capped(lists, cap.member_I, np.array([NO_CAP, cap.at_most]))
    return lists, before


def taken_by(free: Ids, opened: OpenRules, bought: list[tuple[str, Ids]], kept: Ids) -> list[str]:
    """Of one list that the model would show: `<rule> took <item> from place <n>` for each item that a rule forbids. An item
    that no other rule forbids and that is not in `kept` was over a cap."""
    texts = []
    for place, item in enumerate(free[free > 0].tolist(), 1):
        rule = next((label for label, allowed in opened.allowed if not allowed[item]), None)
        rule = rule or next((label for label, items in bought if item in items), None)
        if rule is None and item not in kept:
            rule = next((cap.label for cap in opened.caps if cap.member_I[item]), None)
        if rule is not None:
            texts.append(f"{rule} took {opened.item_ids[item].as_py()} from place {place}")
    return texts
