"""What the page shows of `lists.json`: what changed since the release before, and the explorer's data."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from nightrank.pipeline.report import wording

MOST: Final = 8
"""Users and items that changed most."""
Lists = Mapping[str, Any]


@dataclass(frozen=True)
class Changed:
    since: str
    words: str
    users: tuple[tuple[str, str, str, str], ...]
    """(label, items that are new, first item before, first item now) of users of the sample, most changed first."""
    items: tuple[tuple[str, str, str, str], ...]
    """(item id, title, lists before, lists now)"""


@dataclass(frozen=True)
class Explorer:
    words: str
    data: Markup
    """JSON that no title can end: it has no `<`."""


def changed(lists: Lists | None) -> Changed | None:
    """None where there is no release before."""
    found = (lists or {}).get("changes")
    if not lists or not found:
        return None
    whole, seen = found["compared"], wording.count(lists["explorer"]["users_of"])
    words = (
        f"{wording.count(found['changed'])} of {wording.count(whole)} lists changed ({found['changed'] / whole:.1%}), in items "
        f"or in order. {found['shared']:.0%} of the items of a list were in it before."
    )
    if whole < lists["explorer"]["users_of"]:
        words += f" Compared were {wording.count(whole)} of {seen} users with a list in both."
    titles = lists["explorer"]["items"]
    items = tuple(
        (row["item_id"], _title(titles, row["item_id"]), wording.count(row["before"]), wording.count(row["now"]))
        for row in found["items"]
    )
    return Changed(str(found["since"]), words, tuple(_users(lists["explorer"])), items)


def explorer(lists: Lists | None) -> Explorer | None:
    if not lists or not lists.get("explorer"):
        return None
    view = lists["explorer"]
    words = (
        f"{wording.count(len(view['users']))} of {wording.count(view['users_of'])} users are on this page: those whose lists "
        f"changed most, then others by chance. {wording.count(len(view['items']))} of {wording.count(view['items_of'])} items "
        "are: those of these users, and those that most lists hold."
    )
    if view["compared"] < view["users_of"]:
        words += f" Numbers of lists are of {wording.count(view['compared'])} users."
    text = json.dumps(view, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Explorer(words, Markup(text))


def _users(view: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    rows = []
    for user in view["users"]:
        now, before = [item for item, *_ in user["list"]], user["before"]
        if before and now != before:
            first = (_title(view["items"], items[0]) for items in (before, now))
            rows.append((len(set(now) - set(before)), user["label"], *first))
    for new, label, before, now in sorted(rows, key=lambda row: -row[0])[:MOST]:
        yield label, str(new), before, now


def _title(items: Mapping[str, Mapping[str, Any]], item: str) -> str:
    return str(items.get(item, {}).get("title") or item)
