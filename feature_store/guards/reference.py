"""What a day is compared with: the days before it, those of its weekday where there are enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Final

from nightrank.feature_store.guards.profile import Profile

SAME_WEEKDAY: Final = 3
"""So many days of the weekday are enough to leave out the others."""
RECENT: Final = 7
"""Days whose most frequent items are expected: what is sought changes from week to week."""


@dataclass(frozen=True)
class Reference:
    """Profiles of earlier days, oldest first."""

    profiles: Mapping[date, Profile]
    day: date

    @property
    def chosen(self) -> list[Profile]:
        """Those of the day's weekday, or all where these are fewer than `SAME_WEEKDAY`."""
        same = [profile for day, profile in self.profiles.items() if day.weekday() == self.day.weekday()]
        return same if len(same) >= SAME_WEEKDAY else list(self.profiles.values())

    @property
    def usual_events(self) -> float:
        return float(median(profile.events for profile in self.chosen))

    @property
    def largest_share(self) -> float:
        """The largest share of a day's events that one user had."""
        return max(profile.largest_user / max(profile.events, 1) for profile in self.profiles.values())

    @property
    def catalogue(self) -> int:
        """Size of the newest complete export; 0 where there is none."""
        return next((profile.catalogue for profile in reversed(list(self.profiles.values())) if profile.catalogue), 0)

    def summed(self, name: str) -> dict[str, float]:
        """A field of the chosen profiles, added up: of `actions`, `dates` or `activity`."""
        return added([getattr(profile, name) for profile in self.chosen])

    def summed_of(self, name: str, action: str) -> dict[str, float]:
        """The same of `clock` or `values` for one action."""
        return added([getattr(profile, name).get(action, {}) for profile in self.chosen])

    def pairs(self, action: str) -> tuple[int, int]:
        found = [profile.pairs.get(action, (0, 0)) for profile in self.chosen]
        return sum(looked for looked, _ in found), sum(again for _, again in found)

    def expected(self, events: float) -> dict[str, float]:
        """How often each of the recent days' frequent items would come in a day of so many events."""
        recent = list(self.profiles.values())[-RECENT:]
        total = max(sum(profile.events for profile in recent), 1)
        return {item: n * events / total for item, n in added([profile.head for profile in recent]).items()}


def added(counts: list[dict[str, int]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in counts:
        for name, n in each.items():
            total[name] = total.get(name, 0.0) + n
    return total
