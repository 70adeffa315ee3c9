"""What must hold of the lists before they are committed, computed in Spark and apart from how they were made."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError


def check_complete(
    lists: DataFrame,
    users: DataFrame,
    seen: DataFrame,
    hidden: DataFrame,
    highest: int,
    k: int,
    caps: Sequence[tuple[str, DataFrame, int]] = (),
) -> dict[str, Any]:
    """{users with a list, rows, fallback {reason: users}} of whole lists; DataContractError saying what is not.

    Eligible are the items 1..highest that are not `hidden`. Every user has ranks 1..min(k, eligible - seen), each item once, no
    seen item, every item an eligible one. Under `caps` (name, items, at most) a list may be shorter, and none has more of a
    cap's items.
    """
    hidden = hidden.select(c.ITEM).where(F.col(c.ITEM) <= highest).distinct()
    eligible = highest - hidden.count()
    out = seen.where(F.col(c.ITEM) <= highest).join(hidden, c.ITEM, "left_anti")
    out = out.groupBy(c.USER).agg(F.count(F.lit(1)).alias("out"))
    expected = F.least(F.lit(k), F.lit(eligible) - F.coalesce("out", F.lit(0)))
    found = lists.groupBy(c.USER).agg(
        F.count(F.lit(1)).alias("rows"),
        F.countDistinct(c.ITEM).alias("items"),
        F.countDistinct(c.RANK).alias("ranks"),
        F.min(c.RANK).alias("first"),
        F.max(c.RANK).alias("last"),
        F.max(c.ITEM).alias("highest"),
        F.min(c.ITEM).alias("lowest"),
        F.min_by(c.FALLBACK, c.RANK).alias(c.FALLBACK),
    )
    whole = users.select(c.USER).join(out, c.USER, "left").join(found, c.USER, "full").withColumn("expected", expected)
    rows = F.coalesce("rows", F.lit(0))
    faults = {
        "are not as long as they should be": (rows > F.col("expected")) if caps else ~rows.eqNullSafe(F.col("expected")),
        "do not have ranks 1 to their length": (rows > 0)
        & ((F.col("first") != 1) | (F.col("last") != rows) | (F.col("ranks") != rows)),
        "hold an item twice": (rows > 0) & (F.col("items") != rows),
        "hold an item that is not eligible": (rows > 0) & ((F.col("highest") > highest) | (F.col("lowest") < 1)),
    }
    sums = [F.sum(fault.cast("long")).alias(f"fault_{index}") for index, fault in enumerate(faults.values())]
    total = whole.agg(F.count("rows").alias("users"), F.sum(rows).alias("rows"), *sums).first()
    assert total is not None  # an aggregate without groups has one row
    shown = lists.select(c.USER, c.ITEM).join(seen, [c.USER, c.ITEM], "left_semi").count()
    broken = {text: total[f"fault_{index}"] for index, text in enumerate(faults) if total[f"fault_{index}"]}
    broken |= {"hold something the user has seen": shown} if shown else {}
    off = lists.select(c.ITEM).join(hidden, c.ITEM, "left_semi").count()
    broken |= {"rows hold an item that is not on sale": off} if off else {}
    broken |= {f"have more than `{name}`": count for name, items, most in caps if (count := _over(lists, items, most))}
    if broken:
        details = "; ".join(f"{count} {text}" for text, count in broken.items())
        raise DataContractError(
            f"lists are not complete: {details}", "nothing was committed; run the stage again, then report it"
        )
    reasons = found.where(F.col(c.FALLBACK).isNotNull()).groupBy(c.FALLBACK).count().collect()
    return {
        "users": total["users"],
        "rows": total["rows"] or 0,
        "fallback": {row[c.FALLBACK]: row["count"] for row in sorted(reasons, key=lambda row: row[c.FALLBACK])},
    }


def _over(lists: DataFrame, items: DataFrame, most: int) -> int:
    """Lists with more than so many of the items."""
    return lists.join(items, c.ITEM, "left_semi").groupBy(c.USER).count().where(F.col("count") > most).count()
