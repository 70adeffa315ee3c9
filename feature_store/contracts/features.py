"""Features: what a ranker reads of a history's events beside the events themselves. Part of a snapshot and of a bundle."""

from nightrank.feature_store.contracts.aggregates import PLUGIN
from nightrank.feature_store.contracts.config import FrozenConfig


class Attribute(FrozenConfig):
    """A static attribute of users. Code of a value is its place in `values`, from 1; 0 is not known or not among them."""

    name: str
    values: tuple[str, ...]


class Features(FrozenConfig):
    """Names of as-of aggregates (`nightrank.feature_store.contracts.aggregates`) in the order of a ranker's inputs, and the
    users' attributes. A day is one of `timezone`."""

    user: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    timezone: str


def plugins_of(features: Features | None) -> tuple[str, ...]:
    """Names of the entry points that the features need, each once."""
    named = (*features.user, *features.item) if features else ()
    return tuple(dict.fromkeys(name.removeprefix(PLUGIN) for name in named if name.startswith(PLUGIN)))
