"""The guards: each measures one thing of a day against its reference and says so in a sentence. Pure functions."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import Final

from nightrank.feature_store.contracts.guard_settings import GuardSettings
from nightrank.feature_store.contracts.outputs.checked import Finding
from nightrank.feature_store.guards.profile import EVERY, Profile
from nightrank.feature_store.guards.psi import beyond_chance
from nightrank.feature_store.guards.reference import Reference

OFTEN: Final = 5
"""An item that usually comes so many times a day and is not seen at all is missing, and not out of luck."""
LEAST_ITEMS: Final = 20
"""With fewer such items nothing is said of the catalogue."""
LEAST_VALUES: Final = 20
"""With fewer values nothing is said of them."""
DEVIATIONS: Final = 3
"""Standard deviations of chance that are allowed besides a threshold."""
LEAST_PAIRS: Final = 50
"""With fewer events of an action nothing is said of its pairs."""


def volume(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    usual = reference.usual_events
    if not usual:
        return
    ratio, high, low = profile.events / usual, settings.volume_high, settings.volume_low
    what = f"{profile.events:,} events are {ratio:.2f} times the usual {usual:,.0f}"
    yield Finding(
        guard="volume", about="", value=ratio, threshold=low if ratio < 1 else high, held=not low <= ratio <= high,
        sentence=f"{what} (from {low:g} to {high:g} times is taken in)",
    )  # fmt: skip


def user_share(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    most = max(settings.user_share, 1.5 * reference.largest_share)
    share = profile.largest_user / max(profile.events, 1)
    yield _at_most("user_share", "", share, most, f"one user has {share:.0%} of the events")


def actions(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    for about, name in (("actions", "actions"), ("events of a user", "activity")):
        yield _psi(about, getattr(profile, name), reference.summed(name), profile, reference, settings)


def features(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    """The hour, whether there is a value, and the value: over every action, and for each action that is frequent enough."""
    for action in profile.clock:
        before = reference.summed_of("values", action)
        values = profile.values[action]
        compared: dict[str, tuple[Mapping[str, float], Mapping[str, float]]] = {
            "hour": (profile.clock[action], reference.summed_of("clock", action)),
            "whether there is a value": (_given(values), _given(before)),
            "value": (_without_none(values), _without_none(before)),
        }
        least = LEAST_VALUES if action == EVERY else settings.least_action_events
        for about, (now, usual) in compared.items():
            if min(sum(now.values()), sum(usual.values())) >= least:
                named = about if action == EVERY else f"{about} of {action}"
                yield _psi(named, now, usual, profile, reference, settings)


def dates(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    earlier = reference.summed("dates")
    for name in ("before", "after"):
        now = profile.dates.get(name, 0) / max(profile.events, 1)
        usual = earlier.get(name, 0.0) / max(sum(earlier.values()), 1.0)
        words = f"{now:.0%} of the events are of a date {name} the landing day; usual are {usual:.0%}"
        yield _at_most("dates", name, abs(now - usual), settings.other_dates, words)


def pairs(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    """Users come back to an item with one action after another; where ids or labels are mixed up, they do not.

    Three standard deviations of a sample of the day's size are allowed besides the threshold.
    """
    for action, (looked, again) in profile.pairs.items():
        looked_before, again_before = reference.pairs(action)
        if min(looked, looked_before) < LEAST_PAIRS:
            continue
        now, usual = again / looked, again_before / looked_before
        most = settings.pairs + DEVIATIONS * sqrt(usual * (1 - usual) / looked)
        words = f"of {action}, {now:.0%} have another event of the user on the same item; usual are {usual:.0%}"
        yield _at_most("pairs", action, abs(now - usual), most, words)


def items_present(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    often = {item: n for item, n in reference.expected(reference.usual_events).items() if n >= OFTEN}
    if len(often) < LEAST_ITEMS:
        return
    share = sum(n for item, n in often.items() if item in profile.head) / sum(often.values())
    words = f"of the {len(often)} items that come {OFTEN} times a day or more, those seen have {share:.0%} of their events"
    yield _at_least("items_present", "", share, settings.items_present, words)


def catalogue(profile: Profile, reference: Reference, settings: GuardSettings) -> Iterator[Finding]:
    before = reference.catalogue
    if not (profile.catalogue and before):
        return
    left = profile.catalogue / before
    words = f"the complete export has {profile.catalogue:,} items, the one before had {before:,}"
    yield _at_least("catalogue", "", left, settings.catalogue_left, words)


def unknown_items(share: float, settings: GuardSettings) -> Finding:
    """`share` of the events is on items that nobody knows yet."""
    return _at_most("unknown_items", "", share, settings.unknown_items, f"{share:.0%} of the events are on unknown items")


def _psi(
    about: str,
    actual: Mapping[str, float],
    before: Mapping[str, float],
    profile: Profile,
    reference: Reference,
    settings: GuardSettings,
) -> Finding:
    """Three standard deviations of chance are allowed besides the threshold."""
    users = sum(reference.summed("activity").values()), sum(profile.activity.values())
    value, deviation = beyond_chance(before, actual, users)
    words = f"the distribution of {about} has moved: stability index {value:.2f} beyond chance"
    return _at_most("psi", about, value, settings.psi + DEVIATIONS * deviation, words)


def _given(values: Mapping[str, float]) -> dict[str, float]:
    none = values.get("none", 0)
    return {"none": none, "given": sum(values.values()) - none}


def _without_none(values: Mapping[str, float]) -> dict[str, float]:
    return {name: n for name, n in values.items() if name != "none"}


def _at_most(guard: str, about: str, value: float, most: float, words: str) -> Finding:
    sentence = f"{words} (at most {most:.2f})"
    return Finding(guard=guard, about=about, value=value, threshold=most, held=value > most, sentence=sentence)


def _at_least(guard: str, about: str, value: float, least: float, words: str) -> Finding:
    sentence = f"{words} (at least {least:.2f})"
    return Finding(guard=guard, about=about, value=value, threshold=least, held=value < least, sentence=sentence)
