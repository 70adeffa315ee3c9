"""Which landing days a run takes in: all up to its date, or for a night all that its champion has not learnt."""

from datetime import date, timedelta

from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.model_ref import load_model_ref
from nightrank.feature_store.contracts.stage import StageContext


def first_day(context: StageContext) -> date | None:
    """The first landing day of the run: None (from the beginning) for a full run, the day after the champion's for a night.

    A night before the champion's date is a back-fill of that one day.
    """
    if context.kind == "full":
        return None
    path = context.lake.root / "champion.json"
    if not path.exists():
        return context.day
    return min(context.day, date.fromisoformat(load_model_ref(path).date) + timedelta(days=1))


def landing_days(context: StageContext, kind: LandingKind) -> list[date]:
    """The days with a landing folder of this kind that the run takes in."""
    first = first_day(context)
    return [day for day in context.lake.landing_days(kind) if day <= context.day and (first is None or day >= first)]


def landed_in(context: StageContext, column: str) -> str:
    """SQL condition on a landing date: true for the run's days."""
    first = first_day(context)
    until = f"{column} <= DATE'{context.day}'"
    return until if first is None else f"({until} AND {column} >= DATE'{first}')"
