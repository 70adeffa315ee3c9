"""Released lists that are nobody's own: items like an item, and what a segment chose most lately. No JVM."""

from typing import Any

import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import POPULAR_ITEMS, SIMILAR_ITEMS, TableRef
from nightrank.pipeline.recommend import current, titles_of


def similar_to(lake: Lake, item: str, k: int) -> dict[str, Any]:
    """Up to `k` items like this one with `reason`. UsageError where the release has no such list of it."""
    release = current(lake)
    rows = rows_of(lake, release, SIMILAR_ITEMS, release.similar_items_version, c.ITEM_ID, item)[:k]
    if not rows:
        raise UsageError(f"release {release.release_id} has no items like {item!r}", "check the id; a hidden item has none")
    return {"item": item, **_answer(lake, release, [{**row, c.ITEM_ID: row[c.SIMILAR_ID]} for row in rows])}


def popular_in(lake: Lake, segment: str, k: int) -> dict[str, Any]:
    """Up to `k` popular items of the segment. UsageError where the release has no such list of it."""
    release = current(lake)
    rows = rows_of(lake, release, POPULAR_ITEMS, release.popular_items_version, c.SEGMENT, segment)[:k]
    if not rows:
        raise UsageError(f"release {release.release_id} has no popular items of segment {segment!r}", "'' is everybody")
    return {"segment": segment, **_answer(lake, release, rows)}


def rows_of(lake: Lake, release: Release, table: TableRef, version: int | None, key: str, value: str) -> list[dict[str, Any]]:
    """Rows of the release with that key, best first. UsageError where the release has no such table."""
    if version is None:
        raise UsageError(
            f"release {release.release_id} has no {table.name}", f"set scoring.{table.name} above 0 and run a night"
        )
    found = delta_read.stored(lake, table, version).to_table(filter=ds.field(key) == value)
    return sorted(found.to_pylist(), key=lambda row: int(row[c.RANK]))


def _answer(lake: Lake, release: Release, rows: list[dict[str, Any]]) -> dict[str, Any]:
    titles = titles_of(lake, {row[c.ITEM_ID] for row in rows})
    hidden = (c.SEGMENT, c.SIMILAR_ID, c.RELEASE_ID, c.RUN_ID, c.DATE)
    items = [{name: value for name, value in row.items() if name not in hidden} for row in rows]
    return {
        "release_id": release.release_id,
        "date": release.date,
        "items": [{**row, "title": titles.get(row[c.ITEM_ID])} for row in items],
    }
