"""Whether what reads the lists today can read lists that were made by an earlier version of the program."""

from typing import Final

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import SafetyRefusal
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import POPULAR_ITEMS, RECOMMENDATIONS, SIMILAR_ITEMS

KEYS: Final = {table.name: table.keys for table in (RECOMMENDATIONS, SIMILAR_ITEMS, POPULAR_ITEMS)}


def refuse_other_columns(lake: Lake, release: Release) -> None:
    """SafetyRefusal where a list lacks a key, or a column had another type then. A column that came since reads as empty."""
    for name, version in release.lists.items():
        found = _differences(lake, name, version)
        if found:
            raise SafetyRefusal(
                f"table {name} of release {release.label} has another schema: {'; '.join(found)}",
                "nothing was changed; name a newer release",
            )


def _differences(lake: Lake, name: str, version: int) -> list[str]:
    then, now = delta_read.column_types(lake, name, version), delta_read.column_types(lake, name)
    lacks = [f"column {key} is missing" for key in KEYS[name] if key not in then]
    both = sorted(then.keys() & now.keys())
    return lacks + [f"column {each} was {then[each]} and is {now[each]}" for each in both if then[each] != now[each]]
