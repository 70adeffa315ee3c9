"""Which aggregates and attributes are read; others are not computed."""

from typing import NamedTuple

from nightrank.feature_store.contracts.aggregates import named_by_rows, with_prefix
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.impression_settings import ATTRIBUTE_PREFIX
from nightrank.feature_store.contracts.snapshot import PartName, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.tables import ITEM_DAYS, USER_ATTRIBUTES, USER_DAYS, TableRef
from nightrank.spark_jobs.driver.sections import DataSections


class Wanted(NamedTuple):
    """Names of aggregates of users and of items, and of users' attributes."""

    user: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[PartName, TableRef]:
        """The tables that hold them, by the name of their part in a snapshot."""
        found: dict[PartName, TableRef] = {}
        if self.user:
            found["user_features"] = USER_DAYS
        if self.item:
            found["item_features"] = ITEM_DAYS
        if self.attributes:
            found["user_attributes"] = USER_ATTRIBUTES
        return found


def wanted(context: StageContext, settings: DataSections) -> Wanted:
    """What the settings name, for rankers of lists and for click rankers, and what the champion reads, which may score tonight.

    ConfigError where the lake has no clock: an aggregate as of a day needs days.
    """
    parts = [_of_settings(settings)]
    if (champions := champion_features(context)) is not None:
        parts.append(Wanted(champions.user, champions.item, tuple(attribute.name for attribute in champions.attributes)))
    found = Wanted(*(tuple(dict.fromkeys(name for part in parts for name in part[place])) for place in range(3)))
    if any(found) and context.lake.landing_meta().get("clock") == "position":
        named = ", ".join(name for names in found for name in names)
        raise ConfigError(
            f"features {named}: the events of this lake have positions and no clock, so features cannot be computed",
            "leave features.user, features.item and features.attributes empty, or import a source with timestamps",
        )
    return found


def champion_features(context: StageContext) -> Features | None:
    """What the champion reads beside histories; None where it reads nothing, or there is none."""
    champion = context.champion_found()
    if champion is None:
        return None
    snapshot = context.lake.snapshot(champion.snapshot_id)
    return load_snapshot(snapshot).features if snapshot.exists() else None


def _of_settings(settings: DataSections) -> Wanted:
    features, shown = settings.features, settings.impressions
    numeric, fields = (shown.numeric, shown.fields) if shown.enabled else ((), ())
    of_rows = named_by_rows(numeric)
    return Wanted(
        user=(*features.user, *of_rows.get("user", ())),
        item=(*features.item, *of_rows.get("item", ())),
        attributes=(*features.attributes, *with_prefix(ATTRIBUTE_PREFIX, fields)),
    )
