"""Which landing days a run takes in: all up to its date, or for a night all that its champion has not learnt. No held day."""

from datetime import date, timedelta
from typing import Any, Protocol

from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.holds import held_days, holds
from nightrank.feature_store.contracts.lake import LANDING_KINDS, Lake, LandingKind
from nightrank.feature_store.contracts.landing_files import has_rows, identities, landing_entries, landing_files
from nightrank.feature_store.contracts.model_ref import ModelRef


class OfADay(Protocol):
    """A run, or a request for one."""

    @property
    def lake(self) -> Lake: ...
    @property
    def kind(self) -> str: ...
    @property
    def day(self) -> date: ...
    def champion_found(self) -> ModelRef | None: ...


def first_day(context: OfADay) -> date | None:
    """The first landing day of the run: None (from the beginning) for a full run, the day after the champion's for a night.

    A night before the champion's date is a back-fill of that one day. The champion is the one that the run found.
    """
    if context.kind == "full":
        return None
    champion = context.champion_found()
    if champion is None:
        return context.day
    return min(context.day, date.fromisoformat(champion.date) + timedelta(days=1))


def landing_days(context: OfADay, kind: LandingKind) -> list[date]:
    """The days with a landing folder of this kind that the run takes in.

    Of items and users also the newest day before those: a catalogue may have been imported again after that day's night.
    """
    first, held, missed = first_day(context), held_days(context.lake), _trained_without(context)
    until = [day for day in context.lake.landing_days(kind) if day <= context.day and day not in held]
    days = [day for day in until if first is None or day >= first or day in missed]
    return days if days or kind == "events" else until[-1:]


def folded_days(context: OfADay) -> frozenset[date]:
    """Days before a night's own that its champion was trained without, because they were held, and that are no longer held."""
    return _trained_without(context) - held_days(context.lake)


def _trained_without(context: OfADay) -> frozenset[date]:
    champion = context.champion_found()
    if context.kind == "full" or champion is None or context.day <= date.fromisoformat(champion.date):
        return frozenset()
    record = context.lake.run_dir(champion.run_id) / "stages" / "check_day.json"
    without = read_json(record)["output"]["guards"]["without"] if record.exists() else ()
    return frozenset(map(date.fromisoformat, without))


def fresh_days(context: OfADay) -> bool:
    """Whether anything landed on the run's own days."""
    first = first_day(context)
    return any(first is None or day >= first for kind in LANDING_KINDS for day in landing_days(context, kind))


def brings_no_event(lake: Lake, day: date, before: date | None) -> bool:
    """Whether rows of items or users landed on the day, and no event did, on it or after the date of the run `before`.

    Of held days only the day itself counts: whether it is taken in is decided by its own run.
    """
    described: tuple[LandingKind, ...] = ("items", "users")
    held = held_days(lake)
    until = [each for each in lake.landing_days("events") if each == day or (each < day and each not in held)]
    waiting = [each for each in until if each == day or before is None or each > before]
    events = landing_files(lake, "events", waiting)
    others = [path for kind in described for path in landing_files(lake, kind, [day])]
    return any(map(has_rows, others)) and not any(map(has_rows, events))


def undecided_identity(context: OfADay) -> list[Any]:
    """`identities` of the events' files that a guard judges for the run, and the dates that were accepted of those it held."""
    lake, first = context.lake, first_day(context)
    days = [day for day in lake.landing_days("events") if day <= context.day and (first is None or day >= first)]
    accepted = sorted(hold.date.isoformat() for hold in holds(lake) if hold.status == "accepted" and hold.date <= context.day)
    return [identities(lake, landing_entries(lake, "events", days)), accepted]


def landing_identity(context: OfADay) -> list[tuple[str, int, str]]:
    """`identities` of the files that the run takes in."""
    lake = context.lake
    found = [pair for kind in LANDING_KINDS for pair in landing_entries(lake, kind, landing_days(context, kind))]
    return identities(lake, found)
