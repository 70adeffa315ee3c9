"""Names of as-of aggregates: what is counted of a user or an item, over which whole days before the day in question."""

import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from nightrank.feature_store.contracts.actions import ACTION_CODES

EVENTS: Final = "count"
"""The counter of all events, whatever their action."""
KNOWN: Final = "count_<N>d, count_all, <action>_<N>d, <action>_all, active_days_<N>d, active_days_all, recency_days, age_days"
_SPAN: Final = re.compile(r"(?P<what>[a-z_]+)_(?:(?P<days>[1-9][0-9]{0,3})d|all)")


class Aggregate(NamedTuple):
    """`sum` is of a counter, `active_days` counts days with an event, `recency` and `age` are days since the last and the
    first of them."""

    kind: Literal["sum", "active_days", "recency", "age"]
    counter: str | None = None
    days: int | None = None
    """Whole days up to the day in question, which is not among them; None: all there are."""


def parse(name: str) -> Aggregate:
    """The aggregate of that name. ValueError lists the names there are."""
    if name in ("recency_days", "age_days"):
        return Aggregate("recency" if name == "recency_days" else "age")
    found = _SPAN.fullmatch(name)
    what = found["what"] if found else ""
    if found is None or what not in (EVENTS, "active_days", *ACTION_CODES):
        raise ValueError(f"unknown aggregate {name}: there are {KNOWN}; actions are {', '.join(ACTION_CODES)}")
    days = int(found["days"]) if found["days"] else None
    return Aggregate("active_days", None, days) if what == "active_days" else Aggregate("sum", what, days)


def counters_of(names: Iterable[str]) -> tuple[str, ...]:
    """The counters that a table needs for these aggregates: `count` first, then actions in the order of their codes."""
    needed = {parse(name).counter for name in names}
    return tuple(counter for counter in (EVENTS, *ACTION_CODES) if counter in needed)
