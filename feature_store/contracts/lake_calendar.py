"""The time zone of a lake's days: an import states it once, and every run of that lake goes by it."""

from typing import Any

from nightrank.feature_store.contracts.config import overlay
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.lake import Lake


def with_lake_timezone(tree: dict[str, Any], lake: Lake) -> dict[str, Any]:
    """The configuration with the lake's time zone where it names none. ConfigError where it names another."""
    known = lake_timezone(lake)
    if known is None:
        return tree
    calendar = tree.get("calendar")
    stated = calendar.get("timezone") if isinstance(calendar, dict) else None
    if stated is not None:
        check_timezone(str(stated), lake)
        return tree
    return overlay(tree, {"calendar": {"timezone": known}}) if calendar is None or isinstance(calendar, dict) else tree


def check_timezone(timezone: str, lake: Lake) -> None:
    """ConfigError where a run's days would not be the days the lake's files were placed by."""
    known = lake_timezone(lake)
    if known is not None and known != timezone:
        raise ConfigError(
            f"lake {lake.root} has days in the time zone {known}, but calendar.timezone is {timezone}",
            f"leave calendar.timezone out (the lake's {known} is then used), or import into a new lake with "
            f"--timezone {timezone}",
        )


def lake_timezone(lake: Lake) -> str | None:
    """None where nothing was imported, or by a release that did not remember it."""
    return lake.landing_meta().get("timezone") if lake.landing_meta_path.exists() else None
