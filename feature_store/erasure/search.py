"""Where a user is found in a lake: every file once, each kind in its own way."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.erasure import delta_logs, parquet_files, sqlite_files
from nightrank.feature_store.erasure.kinds import Kind, kind_of, text_of
from nightrank.feature_store.erasure.parquet_files import Found
from nightrank.feature_store.erasure.user import ErasedUser
from nightrank.feature_store.erasure.words import pattern_of


@dataclass(frozen=True)
class Hit:
    """A file with the user in it."""

    place: Location
    kind: Kind
    found: Found


def hits(lake: Lake, user: ErasedUser) -> Iterator[Hit]:
    """Every file below the lake's root that holds the user. Text is searched by bytes, Parquet and SQLite by cells."""
    pattern = pattern_of(user)
    for place, entry in lake.root.walk():
        if entry.size and (hit := look(place, user, pattern)) is not None:
            yield hit


def look(place: Location, user: ErasedUser, pattern: re.Pattern[bytes]) -> Hit | None:
    """What one file holds; None where it holds nothing of the user."""
    kind = kind_of(place)
    if is_log(place):
        found = Found(cells=delta_logs.found_in(place, user, pattern))
    elif kind == "parquet":
        found = parquet_files.find(place, user)
    elif kind == "sqlite":
        found = Found(cells=len(sqlite_files.cells_with(place, pattern)))
    else:
        found = Found(cells=_matches(text_of(place, kind), pattern))
    return Hit(place, kind, found) if found else None


def is_log(place: Location) -> bool:
    """A commit or a checkpoint of a table."""
    return "/_delta_log/" in place.key and delta_logs.VERSIONED.match(place.name) is not None


def area_of(lake: Lake, place: Location) -> str:
    """The part of the lake that a receipt counts a file under: `tables/events`, `landing/events`, `runs`. Bounds in a table's
    log are counted apart from its rows: `tables/events/_delta_log`."""
    parts = place.below(lake.root).split("/")
    if is_log(place):
        return "/".join(parts[:3])
    return "/".join(parts[:2]) if parts[0] in ("tables", "landing") else parts[0]


def _matches(text: bytes, pattern: re.Pattern[bytes]) -> int:
    return sum(1 for _ in pattern.finditer(text))
