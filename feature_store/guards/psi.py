"""The population stability index: how far one day's counts over some bins are from those of a reference."""

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Final

SMOOTHING: Final = 0.5
"""Added to every bin of both sides, so that an empty bin has a finite part: Jeffreys' prior for a multinomial."""


def psi(reference: Sequence[float], actual: Sequence[float]) -> float:
    """sum over bins of (a - r) ln(a / r), a and r the smoothed shares. 0 for equal counts, never below 0.

    Siddiqi, Credit Risk Scorecards (2006); it is Jeffreys' divergence of the two distributions. 0 where there is one bin.
    """
    if len(reference) != len(actual):
        raise ValueError(f"{len(reference)} bins and {len(actual)} bins cannot be compared")
    shares = zip(_shares(reference), _shares(actual), strict=True)
    return sum((a - r) * log(a / r) for r, a in shares)


def by_chance(bins: int, reference: float, actual: float) -> tuple[float, float]:
    """Mean and standard deviation of `psi` where both are samples, of these sizes, of one distribution.

    Yurdakul and Naranjo, Statistical properties of the population stability index (2020): it is (1/n + 1/m) times chi-squared
    with bins - 1 degrees of freedom.
    """
    freedom, scale = max(bins - 1, 0), 1 / max(reference, 1.0) + 1 / max(actual, 1.0)
    return freedom * scale, sqrt(2 * freedom) * scale


def beyond_chance(
    reference: Mapping[str, float], actual: Mapping[str, float], users: tuple[float, float]
) -> tuple[float, float]:
    """`psi` over the union of the bins, less its mean by chance, not below 0; and its standard deviation by chance.

    `users` of either side: one user's events resemble each other, so a sample is no larger than its users are many.
    """
    bins = sorted({*reference, *actual})
    before, now = ([counts.get(name, 0.0) for name in bins] for counts in (reference, actual))
    mean, deviation = by_chance(len(bins), min(sum(before), users[0]), min(sum(now), users[1]))
    return max(0.0, psi(before, now) - mean), deviation


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) + SMOOTHING * len(counts)
    return [(count + SMOOTHING) / total for count in counts]
