"""Settings that hold secrets: they travel in the environment of the processes a run starts, and its files keep `***`."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.secrets import HIDDEN, masked

VARIABLE: Final = "NIGHTRANK_SECRETS"
"""In the environment of a run's processes: JSON, a list of [path of keys, value]. Never an argument, never in a file."""
SPARK_SETTINGS: Final = "NIGHTRANK_SPARK_SETTINGS"
"""In the environment of the program that asks a cluster's executors: the section `spark` as JSON, for the same reason."""


def secrets_of(config: Mapping[str, Any]) -> list[tuple[list[str], str]]:
    """(path of keys, value) of every setting that `masked` does not show as it is."""
    shown = dict(_leaves(masked(config)))
    return [(list(path), value) for path, value in _leaves(config) if value != shown.get(path)]


def environment_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The variable for the processes that read the configuration from a run's files; nothing where it hides nothing."""
    found = secrets_of(config)
    return {VARIABLE: json.dumps(found)} if found else {}


def restored(shown: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The configuration as it was before `masked`, as far as the environment holds what was hidden."""
    tree = _copy(shown)
    for path, value in given(environ):
        node: Any = tree
        for key in path[:-1]:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict) and path[-1] in node:
            node[path[-1]] = value
    return tree


def given(environ: Mapping[str, str] | None = None) -> list[tuple[list[str], str]]:
    """What the environment holds: (path of keys, value)."""
    text = (os.environ if environ is None else environ).get(VARIABLE)
    return [(path, value) for path, value in json.loads(text)] if text else []


def check_whole(config: Mapping[str, Any], where: str) -> None:
    """ConfigError naming the settings whose values a run's files do not keep and nobody gave."""
    if hidden := [".".join(path) for path, value in _leaves(config) if value == HIDDEN]:
        raise ConfigError(
            f"{', '.join(hidden[:5])}: {where} stores no secrets, so the value is unknown here",
            "start the stage with `nightrank stage NAME` and the --config and --set of the run",
        )


def _leaves(tree: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in tree.items()}
