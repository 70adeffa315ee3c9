"""Results of the nights before: what the page compares tonight with."""

from collections.abc import Iterator
from typing import Any, Final

from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.storage import Location

MOST_NIGHTS: Final = 14
"""That are drawn."""
Earlier = tuple[Location, dict[str, Any]]
"""A run's folder and its result."""


def earlier_results(run_dir: Location, date: str) -> Iterator[Earlier]:
    """Of runs of dates before that one, the latest attempt first. Each is read when it is asked for."""
    for path in sorted(run_dir.parent.glob("*/result.json"), key=lambda path: path.entry().modified, reverse=True):
        result = read_json(path)
        if str(result.get("date")) < date:
            yield path.parent, result
