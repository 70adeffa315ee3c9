"""Which column is most likely which field of an event or an item, by its name and by what it holds."""

import re
from dataclasses import dataclass
from typing import Final

from nightrank.feature_store.contracts import columns as c
from nightrank.spark_jobs.sources.flags import flags
from nightrank.spark_jobs.sources.guess.profile import Profile

_HINTS: Final = {
    c.USER_ID: "userid user customerid customer kundennr kunde clientid client visitorid visitor memberid member buyer uid",
    c.ITEM_ID: "itemid item sku productid product artikelnr artikel produktid produkt articleid article asin movieid movie pid",
    c.EVENT_TIME: "eventtime timestamp ts datetime time zeitstempel zeit datum date createdat occurredat at when",
    c.ACTION: "action eventtype event type kind behavior interaction art aktion verb",
    c.VALUE: "value amount betrag total revenue rating price preis score",
    c.SESSION_ID: "sessionid session visitid visit",
    c.EVENT_ID: "eventid id uuid",
    c.POSITION: "position slot rank",
    c.TITLE: "title name productname bezeichnung titel",
    c.TEXT: "description text beschreibung summary",
    c.CATEGORIES: "categories category kategorie kategorien genres tags",
    c.PRICE: "price preis listprice unitprice amount",
    c.AVAILABLE: "available availability instock stock quantity qty inventory verfügbar bestand lagerbestand",
    c.CREATED: "created createdat publishedat releasedate addedat",
}
NAMES: Final[dict[str, tuple[str, ...]]] = {field: tuple(hints.split()) for field, hints in _HINTS.items()}
"""Names that such a column has in many shops, the surest first."""
EVENT_FIELDS: Final = (c.USER_ID, c.ITEM_ID, c.EVENT_TIME, c.ACTION, c.VALUE, c.SESSION_ID, c.EVENT_ID, c.POSITION)
ITEM_FIELDS: Final = (c.ITEM_ID, c.TITLE, c.TEXT, c.CATEGORIES, c.PRICE, c.AVAILABLE, c.CREATED)
MOST_ACTIONS: Final = 50


@dataclass(frozen=True)
class Role:
    """A field, the column chosen for it and why."""

    field: str
    profile: Profile
    reason: str


def roles(profiles: list[Profile], fields: tuple[str, ...]) -> list[Role]:
    """At most one column a field and one field a column, in the order of `fields`."""
    found: list[Role] = []
    for field in fields:
        free = [p for p in profiles if all(p is not role.profile for role in found) and _fits(field, p)]
        ranked = sorted(free, key=lambda p: -_score(p.name, field))
        if ranked and _score(ranked[0].name, field) > 0:
            found.append(Role(field, ranked[0], _reason(ranked[0], field)))
    return found


def _score(name: str, field: str) -> int:
    """Higher for a name that is a hint, lower for one that only ends with it or holds it; 0 for none."""
    whole, last = _bare(name), _bare(name.rsplit(".", 1)[-1])
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+", name)]
    best = 0
    for place, hint in enumerate(NAMES[field]):
        points = 300 if whole == hint else 200 if last == hint else 100 if hint in words else 0
        points = points or (50 if len(hint) > 3 and (whole.startswith(hint) or whole.endswith(hint)) else 0)
        best = max(best, points - place if points else 0)
    return best


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9äöüß]", "", name.lower())


def _fits(field: str, profile: Profile) -> bool:
    family = profile.column.family
    if field in (c.EVENT_TIME, c.CREATED):
        return profile.time() is not None
    if field in (c.VALUE, c.PRICE, c.POSITION):
        return profile.number() is not None
    if field == c.AVAILABLE:
        return _read_as_flag(profile)
    if field == c.ACTION:
        return family == "text" and 0 < len(profile.values) <= MOST_ACTIONS
    if field == c.EVENT_ID:
        return len(profile.values) == profile.rows > 0
    if field == c.CATEGORIES:
        return family in ("text", "list")
    return family in ("text", "integer") or (field in (c.USER_ID, c.ITEM_ID) and family == "binary")


def _read_as_flag(profile: Profile) -> bool:
    """Most of the filled cells say yes, no, or how many there are."""
    if profile.column.family not in ("text", "boolean", "integer", "float", "decimal"):
        return False
    return bool(2 * (profile.rows - flags(profile.column).values.null_count) > profile.filled > 0)


def _reason(profile: Profile, field: str) -> str:
    different = f", {len(profile.values):,} different" if profile.values else ""
    return f"its name; {profile.filled:,} of {profile.rows:,} cells filled{different}"
