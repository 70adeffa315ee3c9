"""The run's landing days as conditions on tables (`contracts.landing_days` says which they are)."""

from collections.abc import Iterable
from datetime import date

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.holds import held_days
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.landing_days import OfADay, first_day, folded_days, landing_days


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
    found = f"{column} <= DATE'{context.day}'"
    if first is not None:
        found = f"({found} AND {column} >= DATE'{first}')"
    if folded := folded_days(context):
        found = f"({found} OR {column} IN ({_listed(folded)}))"
    if held := held_days(context.lake):
        found = f"({found} AND {column} NOT IN ({_listed(held)}))"
    return found


def _listed(days: Iterable[date]) -> str:
    return ", ".join(f"DATE'{day}'" for day in sorted(days))
