"""From a day's profile and the days before it to a verdict: held, passed, or too little data to say."""

from typing import Final

from nightrank.feature_store.contracts.guard_settings import GuardSettings
from nightrank.feature_store.contracts.outputs.checked import DayChecked, Finding
from nightrank.feature_store.guards import guards
from nightrank.feature_store.guards.profile import Profile
from nightrank.feature_store.guards.reference import Reference

GUARDS: Final = (
    guards.volume,
    guards.catalogue,
    guards.user_share,
    guards.actions,
    guards.features,
    guards.dates,
    guards.pairs,
    guards.items_present,
)


def judged(profile: Profile, reference: Reference, settings: GuardSettings, unknown: float | None = None) -> DayChecked:
    """The day's findings, and `held` where one of them is. `unknown`: share of events on unknown items, where it was looked up.

    `not_judged` where the days before are too few, or bring too little to compare with.
    """
    day, days = reference.day.isoformat(), len(reference.profiles)
    if days < settings.least_days:
        note = f"{days} earlier days have landed, {settings.least_days} are needed (guards.least_days)"
        return DayChecked(date=day, verdict="not_judged", note=note, findings=())
    if reference.usual_events < settings.least_events:
        note = f"a usual day has {reference.usual_events:,.0f} events, {settings.least_events} are needed (guards.least_events)"
        return DayChecked(date=day, verdict="not_judged", note=note, findings=())
    found = [finding for guard in GUARDS for finding in guard(profile, reference, settings)]
    found += [] if unknown is None else [guards.unknown_items(unknown, settings)]
    held = any(finding.held for finding in found)
    return DayChecked(date=day, verdict="held" if held else "passed", note="", findings=_rounded(found))


def reasons(checked: DayChecked) -> tuple[str, ...]:
    """The sentences of the guards that hold the day."""
    return tuple(finding.sentence for finding in checked.findings if finding.held)


def _rounded(found: list[Finding]) -> tuple[Finding, ...]:
    return tuple(one.model_copy(update={"value": round(one.value, 4), "threshold": round(one.threshold, 4)}) for one in found)
