"""Names of as-of aggregates: what is counted of a user or an item, over which whole days before the day in question.

A click ranker's numbers name the entity too: `user_count_7d` is `count_7d` of the row's user.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, Protocol, cast

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.plugins import FEATURES, plugin

EVENTS: Final = "count"
"""The counter of all events, whatever their action."""
KNOWN: Final = "count_<N>d, count_all, <action>_<N>d, <action>_all, active_days_<N>d, active_days_all, recency_days, age_days"
PLUGIN: Final = "plugin."
"""Before the name of a feature that a package of the user's own offers."""
PREFIXES: Final = {"user": "user_", "item": "item_"}
"""Of a click ranker's numbers that are aggregates, by entity."""
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
        raise ValueError(f"unknown aggregate {name}: there are {KNOWN}, plugin.<name>; actions are {', '.join(ACTION_CODES)}")
    days = int(found["days"]) if found["days"] else None
    return Aggregate("active_days", None, days) if what == "active_days" else Aggregate("sum", what, days)


class Derived(Protocol):
    """A feature of a package of the user's own, derived from aggregates: `plugin.<name>` names its entry point.

    It sees aggregates as of the start of a day and nothing else, so it cannot know what came later.
    """

    reads: Sequence[str]
    """Names of the aggregates it is given."""

    def __call__(self, known: Mapping[str, Any]) -> Any:
        """One number a row, the model's input as it is, from float32 arrays [T] by name. Each row by itself: the number of a
        row may not depend on the others, nor on anything else."""


@lru_cache
def derived(name: str) -> Derived:
    """The feature behind `plugin.<name>`. ConfigError where no installed package offers it, or it is none."""
    offered = name.removeprefix(PLUGIN)
    found = plugin(FEATURES, offered)
    reads = getattr(found, "reads", None)
    try:
        whole = callable(found) and not isinstance(reads, str) and bool([parse(read) for read in reads or ()])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{offered} in {FEATURES} reads {reads!r}: {error}", "name aggregates in its `reads`") from None
    if not whole:
        raise ConfigError(
            f"{offered} in {FEATURES} is {found!r}, which does not say what it reads",
            "offer a function with an attribute `reads`, a tuple of names of aggregates",
        )
    return cast(Derived, found)


def reads_of(name: str) -> tuple[str, ...]:
    """The aggregates behind a name: itself, or what a plug-in reads. ValueError or ConfigError where it is not known."""
    if name.startswith(PLUGIN):
        return tuple(derived(name).reads)
    parse(name)
    return (name,)


def counters_of(names: Iterable[str]) -> tuple[str, ...]:
    """The counters that a table needs for these aggregates: `count` first, then actions in the order of their codes."""
    needed = {parse(read).counter for name in names for read in reads_of(name)}
    return tuple(counter for counter in (EVENTS, *ACTION_CODES) if counter in needed)


def named_by_rows(numbers: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The aggregates among a click ranker's numbers, by entity and without its prefix; an entity with none is left out."""
    numbers = tuple(numbers)
    found = {entity: with_prefix(prefix, numbers) for entity, prefix in PREFIXES.items()}
    return {entity: names for entity, names in found.items() if names}


def with_prefix(prefix: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that begin with it, without it."""
    return tuple(name.removeprefix(prefix) for name in names if name.startswith(prefix))
