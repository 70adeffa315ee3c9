"""What changed in the lists since the release before: how many, and which users and items most."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import RECOMMENDATIONS
from nightrank.pipeline.report.lists_view import MOST

MOST_ROWS: Final = 500_000
"""Of more rows a random share of the users is compared."""
ALL: Final = 16**8
COLUMNS: Final = (c.USER_ID, c.RANK, c.ITEM_ID, c.SCORE, c.FALLBACK, c.MOVED, c.SOURCE, c.TAKEN, c.LIST_ID)
Lists = dict[str, list[dict[str, Any]]]
"""By user, in the order of a hash; each list best first."""


@dataclass(frozen=True)
class Compared:
    now: Lists
    before: Lists | None
    """None where there is no release before, or its lists are gone."""
    before_date: str | None

    @cached_property
    def changed(self) -> list[str]:
        """Users with a list in both whose items or order differ, most first: by the items that are new."""
        before = self.before or {}
        both = [user for user in self.now if user in before and items_of(self.now[user]) != items_of(before[user])]
        return sorted(both, key=lambda user: len(set(items_of(self.now[user])) & set(items_of(before[user]))))

    @property
    def both(self) -> int:
        return sum(user in self.now for user in self.before or {})


def compared(lake: Lake, release: Release) -> Compared:
    """Lists of the release and of the one before, of the same users: all of them up to `MOST_ROWS` rows."""
    below = format(min(ALL - 1, int(ALL * MOST_ROWS / max(release.rows, 1))), "08x")
    now = _lists(lake, release, None if release.rows <= MOST_ROWS else ds.field(c.LIST_ID) < below)
    earlier = [made for made in delta_read.releases(lake) if made.release_id != release.release_id]
    if not earlier:
        return Compared(now, None, None)
    try:
        before = _lists(lake, earlier[-1], ds.field(c.USER_ID).isin(pa.array(list(now), pa.string())))
    except (DataContractError, FileNotFoundError):  # maintenance has taken its files
        return Compared(now, None, None)
    return Compared(now, before, earlier[-1].date)


def changes(found: Compared) -> dict[str, Any] | None:
    """{since, compared, changed, shared, items: [{item_id, now, before}]}; `shared` is the mean share of a list's items that
    were in it before. None where there is nothing to compare with."""
    if found.before is None or not found.both:
        return None
    both = [(items_of(rows), items_of(found.before[user])) for user, rows in found.now.items() if user in found.before]
    now, before = (Counter(item for pair in both for item in pair[side]) for side in (0, 1))
    moved = sorted({*now, *before}, key=lambda item: (-abs(now[item] - before[item]), item))
    return {
        "since": found.before_date,
        "compared": len(both),
        "changed": len(found.changed),
        "shared": sum(len({*new} & {*old}) / len(new) for new, old in both) / len(both),
        "items": [
            {c.ITEM_ID: item, "now": now[item], "before": before[item]} for item in moved[:MOST] if now[item] != before[item]
        ],
    }


def items_of(rows: list[dict[str, Any]]) -> list[str]:
    return [row[c.ITEM_ID] for row in rows]


def _lists(lake: Lake, release: Release, which: ds.Expression | None) -> Lists:
    stored = delta_read.stored(lake, RECOMMENDATIONS, release.recommendations_version)
    rows = stored.to_table(columns=list(COLUMNS), filter=which)
    found: Lists = {}
    for row in rows.sort_by([(c.LIST_ID, "ascending"), (c.RANK, "ascending")]).to_pylist():
        found.setdefault(row[c.USER_ID], []).append(row)
    return found
