"""What the page's explorer holds: a bounded sample of users with history, list and reasons, and the items that these name."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.settings import CalendarSettings, TrainingSetSettings
from nightrank.feature_store.contracts.tables import INTERACTIONS, ITEMS, SIMILAR_ITEMS, VOCABULARY
from nightrank.feature_store.days import day_start
from nightrank.pipeline.report.changes import Compared, Lists, items_of
from nightrank.pipeline.report.lists_view import MOST

USERS: Final = 40
HISTORY: Final = 12
"""Newest events of a user."""
MORE_ITEMS: Final = 200
"""Items that most lists hold, beside those of the sample."""
SIMILAR: Final = 6
MOST_INTERACTIONS: Final = 50_000_000
"""Of more events no histories are looked up: that would read the table once for a few users."""
Histories = Mapping[str, list[tuple[str, str]]]
"""By user, newest first: (item, action)."""


def explored(
    lake: Lake,
    release: Release,
    found: Compared,
    settings: tuple[TrainingSetSettings, CalendarSettings],
    named: bool,
) -> dict[str, Any]:
    """{users, users_of, items, items_of, compared}. Users are numbered; `named` adds their ids."""
    chosen = _chosen(found)
    histories = _histories(lake, release, chosen, *settings)
    now, before = (_counts(lists) for lists in (found.now, found.before or {}))
    mine = {item for user in chosen for item in (*items_of(found.now[user]), *_before(found, user))}
    mine |= {item for rows in histories.values() for item, _ in rows}
    mine |= {item for item, _ in now.most_common(MORE_ITEMS)}
    similar = _similar(lake, release, mine)
    shown = mine | {other for pairs in similar.values() for other, _ in pairs}
    facts = _facts(lake, shown)
    users = [_user(number, user, found, histories, similar) for number, user in enumerate(chosen, 1)]
    return {
        "users": [{**each, c.USER_ID: user} for each, user in zip(users, chosen, strict=True)] if named else users,
        "users_of": release.users,
        "items": {
            item: {**facts.get(item, {}), "now": now[item], "before": before[item], "similar": similar.get(item, [])}
            for item in sorted(shown)
        },
        "items_of": _known_items(lake, release),
        "compared": len(found.now),
        "since": found.before_date,
    }


def _chosen(found: Compared) -> list[str]:
    """Users that changed most, then others in the order of a hash, some of them without a list of the model."""
    cold = [user for user, rows in found.now.items() if rows[0][c.FALLBACK]][: USERS // 8]
    order = dict.fromkeys([*found.changed[:MOST], *cold, *found.now])
    return list(order)[:USERS]


def _user(
    number: int, user: str, found: Compared, histories: Histories, similar: Mapping[str, list[tuple[str, str]]]
) -> dict[str, Any]:
    rows, history = found.now[user], histories.get(user, [])
    return {
        "label": f"User {number}",
        "fallback": rows[0][c.FALLBACK],
        "taken": rows[0][c.TAKEN],
        "history": history,
        "list": [[row[c.ITEM_ID], row[c.SCORE], list(_reasons(row, history, similar))] for row in rows],
        "before": _before(found, user),
    }


def _before(found: Compared, user: str) -> list[str]:
    return items_of((found.before or {}).get(user, []))


def _reasons(
    row: Mapping[str, Any], history: list[tuple[str, str]], similar: Mapping[str, list[tuple[str, str]]]
) -> Iterable[tuple[str, str | None, str]]:
    """(kind, item of the history, words): like which item of the history, what proposed it, which rules moved it."""
    for item in dict.fromkeys(item for item, _ in history):
        for other, reason in similar.get(item, []):
            if other == row[c.ITEM_ID]:
                yield "like", item, reason
    for name in (c.SOURCE, c.MOVED):
        if row[name]:
            yield name, None, row[name]


def _counts(lists: Lists) -> Counter[str]:
    return Counter(item for rows in lists.values() for item in items_of(rows))


def _histories(
    lake: Lake, release: Release, users: list[str], rows: TrainingSetSettings, calendar: CalendarSettings
) -> Histories:
    if delta_read.rows_of(lake, INTERACTIONS.name, release.data_version) > MOST_INTERACTIONS:
        return {}
    names = delta_read.raw_ids(lake, release.vocabulary_version, "user", c.RAW_ID, users)
    end = day_start(date.fromisoformat(release.date) + timedelta(days=1), calendar.timezone)
    codes = {ACTION_CODES[name]: name for name in rows.history_actions}
    mine = ds.field(c.USER).isin(pa.array(list(names), pa.int32())) & ds.field(c.ACTION).isin(list(codes))
    known = (ds.field(c.EVENT_TIME) < end) & (ds.field(c.AVAILABILITY_TIME) < end)
    stored = delta_read.stored(lake, INTERACTIONS, release.data_version)
    events = stored.to_table(columns=[c.USER, c.ITEM, c.ACTION, c.EVENT_TIME], filter=mine & known)
    newest: dict[int, list[dict[str, Any]]] = {}
    for row in events.sort_by([(c.EVENT_TIME, "descending")]).to_pylist():
        if len(kept := newest.setdefault(row[c.USER], [])) < HISTORY:
            kept.append(row)
    seen = {row[c.ITEM] for kept in newest.values() for row in kept}
    items = delta_read.raw_ids(lake, release.vocabulary_version, "item", c.DENSE_ID, seen)
    return {names[user]: [(items[row[c.ITEM]], codes[row[c.ACTION]]) for row in kept] for user, kept in newest.items()}


def _known_items(lake: Lake, release: Release) -> int:
    stored = delta_read.stored(lake, VOCABULARY, release.vocabulary_version)
    return int(stored.count_rows(filter=ds.field(c.KIND) == "item"))


def _similar(lake: Lake, release: Release, items: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """(item, reason) by item, the nearest first."""
    if release.similar_items_version is None:
        return {}
    found: dict[str, list[tuple[str, str]]] = {}
    for row in sorted(
        _rows(delta_read.stored(lake, SIMILAR_ITEMS, release.similar_items_version), items), key=lambda row: int(row[c.RANK])
    ):
        found.setdefault(row[c.ITEM_ID], []).append((row[c.SIMILAR_ID], row[c.REASON]))
    return {item: pairs[:SIMILAR] for item, pairs in found.items()}


def _facts(lake: Lake, items: Collection[str]) -> dict[str, dict[str, Any]]:
    """Title, first category and price by item, of those that have one."""
    table = delta_read.newest(lake, ITEMS.name)
    paths = [] if table is None else delta_read.file_paths(table)
    rows = _rows(delta_read.dataset(lake, ITEMS.name, paths, ITEMS.schema), items) if paths else []
    return {
        row[c.ITEM_ID]: {"title": row[c.TITLE], "category": (row[c.CATEGORIES] or [None])[0], "price": row[c.PRICE]}
        for row in rows
    }


def _rows(stored: ds.Dataset, items: Collection[str]) -> list[dict[str, Any]]:
    mine = ds.field(c.ITEM_ID).isin(pa.array(list(items), pa.string()))
    found: list[dict[str, Any]] = stored.to_table(filter=mine).to_pylist()
    return found
