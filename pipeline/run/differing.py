"""In which settings a run on disk differs from a configuration that is given now."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.storage import Location

SHOWN: Final = 5


def differing(run_dir: Location, config: Configuration) -> list[str]:
    """A sentence with the dotted keys whose values differ, a few of them by name; none where all are the same.

    Values are not shown: one may be a secret.
    """
    before, now = dict(leaves(read_json(run_dir / "run.json")["config"])), dict(leaves(config.shown))
    keys = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    named = ", ".join(keys[:SHOWN]) + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")
    return [f"it ran under another configuration ({named}); --redo runs it again under this one"] if keys else []


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that is no mapping."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
