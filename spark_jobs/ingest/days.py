"""Which landing days a run takes in: all up to its date, or for a night all that its champion has not learnt."""

from datetime import date, timedelta
from typing import Protocol

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.contracts.model_ref import load_model_ref


class OfADay(Protocol):
    """A run, or what one is asked for."""

    @property
    def lake(self) -> Lake: ...
    @property
    def kind(self) -> str: ...
    @property
    def day(self) -> date: ...


def first_day(context: OfADay) -> date | None:
    """The first landing day of the run: None (from the beginning) for a full run, the day after the champion's for a night.

    A night before the champion's date is a back-fill of that one day.
    """
    if context.kind == "full":
        return None
    path = context.lake.root / "champion.json"
    if not path.exists():
        return context.day
    return min(context.day, date.fromisoformat(load_model_ref(path).date) + timedelta(days=1))


def landing_days(context: OfADay, kind: LandingKind) -> list[date]:
    """The days with a landing folder of this kind that the run takes in.

    Of items and users also the newest day before those: a catalogue may have been imported again after that day's night.
    """
    first = first_day(context)
    until = [day for day in context.lake.landing_days(kind) if day <= context.day]
    days = [day for day in until if first is None or day >= first]
    return days if days or kind == "events" else until[-1:]


def fresh_days(context: OfADay) -> bool:
    """Whether anything landed on the run's own days."""
    first = first_day(context)
    kinds: tuple[LandingKind, ...] = ("events", "items", "users")
    return any(first is None or day >= first for kind in kinds for day in landing_days(context, kind))


def quarantined_of(context: OfADay) -> str:
    """SQL condition on quarantined rows: true for those of the files that this run judges."""
    parts = [landed_in(context, c.LANDING_DATE)]
    kinds: tuple[LandingKind, ...] = ("items", "users")
    for kind in kinds:
        parts += [
            f"({c.SOURCE_TABLE} = '{kind}' AND {c.LANDING_DATE} = DATE'{day}')" for day in landing_days(context, kind)[:1]
        ]
    return f"({' OR '.join(parts)})"


def landed_in(context: OfADay, column: str) -> str:
    """SQL condition on a landing date: true for the run's days."""
    first = first_day(context)
    until = f"{column} <= DATE'{context.day}'"
    return until if first is None else f"({until} AND {column} >= DATE'{first}')"
