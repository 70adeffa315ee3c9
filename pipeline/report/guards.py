"""What the guards said of each landed day: the section on the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

VERDICT: Final = {"passed": "good", "held": "warn", "accepted": "calm", "not_judged": "calm"}


@dataclass(frozen=True)
class Day:
    date: str
    verdict: str
    tone: str
    sentences: tuple[str, ...]
    """Why it was held or not judged; of a day that passed nothing."""


@dataclass(frozen=True)
class Guards:
    days: tuple[Day, ...]
    without: tuple[str, ...]
    """Dates that the run goes without."""
    folded: tuple[str, ...]
    """Dates that were accepted and are learnt by this run."""


def guards(section: Mapping[str, Any] | None) -> Guards | None:
    """The section's view; None where no day was judged, left out or folded in."""
    if section is None:
        return None
    days = tuple(_day(day) for day in section["days"])
    found = Guards(days, tuple(section["without"]), tuple(section["folded"]))
    return found if found.days or found.without or found.folded else None


def _day(day: Mapping[str, Any]) -> Day:
    verdict = str(day["verdict"])
    broken = tuple(str(finding["sentence"]) for finding in day["findings"] if finding["held"])
    return Day(day["date"], verdict.replace("_", " "), VERDICT[verdict], (*broken, *filter(None, [day["note"]])))
