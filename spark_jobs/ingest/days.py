"""The run's landing days as conditions on tables (`contracts.landing_days` says which they are)."""

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.landing_days import OfADay, first_day, landing_days


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
