"""Lakes filled by hand from the dense tables on: interactions, vocabulary, items, users."""

import json
from datetime import date, datetime
from typing import Any

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.spark_schema import to_spark
from tests.spark.conftest import DAY, at, make_context

Event = dict[str, Any]


def micros(text: str) -> int:
    return int(at(text).timestamp()) * 1_000_000


def event(
    user: int,
    item: int,
    when: str,
    landing: date | None = None,
    *,
    action: str = "view",
    available: str | None = None,
    event_id: str | None = None,
) -> Event:
    """One interaction; it lands on its own day and is available at once unless told otherwise."""
    day = datetime.fromisoformat(when).date()
    return {
        "user": user,
        "item": item,
        "action": ACTION_CODES[action],
        "event_time": micros(when),
        "availability_time": micros(available or when),
        "value": None,
        "event_id": event_id or f"{user}-{when}-{item}",
        "event_date": day,
        "landing_date": landing or day,
    }


def fill(spark, lake, events, described=(), *, users=None, items=None, segments=None, clock="real") -> None:
    """What build_features would leave: raw ids are u<dense> and i<dense>. `described` = (item_id, categories, price)."""
    context = make_context(lake, run_id="fill")
    lake.landing_meta_path.parent.mkdir()
    lake.landing_meta_path.write_text(json.dumps({"clock": clock, "id_type": "string", "source": "test"}))
    append(spark, lake, tables.INTERACTIONS, events, context)
    counts = {"user": users or max(e["user"] for e in events), "item": items or max(e["item"] for e in events)}
    start, day = at("2024-01-01 00:00"), date(2024, 1, 1)
    vocabulary = [
        {"kind": kind, "raw_id": f"{kind[0]}{i}", "dense_id": i, "first_available": start, "landing_date": day}
        for kind, count in counts.items()
        for i in range(1, count + 1)
    ]
    append(spark, lake, tables.VOCABULARY, vocabulary, context)
    if described:
        rows = [
            {"item_id": key, "title": f"title {key}", "categories": cats, "price": price, "landing_date": DAY}
            for key, cats, price in described
        ]
        append(spark, lake, tables.ITEMS, rows, context)
    if segments:
        known = {"availability_time": start, "landing_date": day}
        rows = [{"user_id": f"u{user}", "attributes": {"country": value}, **known} for user, value in segments.items()]
        append(spark, lake, tables.USERS, rows, context)


def append(spark, lake, table, rows, context) -> None:
    full = [tuple(row.get(name) for name in table.schema.names) for row in rows]
    delta_io.append(spark.createDataFrame(full, to_spark(table.schema)), lake, table, context=context, key=f"fill:{table.name}")
