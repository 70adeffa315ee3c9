"""An A/B test read out: differences to the control, whether the arms got the users they should, and when one may stop."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.floating[Any]]
MISMATCH: Final = 0.0005
"""A sample ratio as unlikely as this is a fault, not chance (Fabijan et al. 2019)."""


class Arm(NamedTuple):
    """What a cluster can add up of an arm's users: one number each, their mean and variance (n - 1)."""

    users: int
    mean: float
    variance: float


class Difference(NamedTuple):
    """Of a mean to the control's. `low` to `high` holds on a day that was fixed beforehand, `always_low` to `always_high` on
    all days at once, so that one may look every morning and stop when 0 is outside."""

    arm: str
    users: int
    mean: float
    value: float
    low: float
    high: float
    always_low: float
    always_high: float

    @property
    def may_stop(self) -> bool:
        return not self.always_low <= 0 <= self.always_high


def arm_of(values: Floats) -> Arm:
    return Arm(len(values), float(values.mean()), float(values.var(ddof=1)))


def differences(arms: Mapping[str, Arm], control: str, level: float = 0.95) -> list[Difference]:
    """One for each arm but the control (Welch 1947). ValueError with an arm of fewer than two users."""
    few = [name for name, arm in arms.items() if arm.users < 2]
    if few:
        raise ValueError(f"arm {few[0]!r} has fewer than two users")
    return [_difference(name, arm, arms[control], level) for name, arm in arms.items() if name != control]


def _difference(name: str, arm: Arm, base: Arm, level: float) -> Difference:
    value = arm.mean - base.mean
    one, two = arm.variance / arm.users, base.variance / base.users
    half = 0.0
    if one + two > 0:
        freedom = (one + two) ** 2 / (one**2 / (arm.users - 1) + two**2 / (base.users - 1))
        half = float(stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(one + two))
    always = always_valid_half_width(one + two, arm.users + base.users, 1 - level)
    return Difference(name, arm.users, arm.mean, value, value - half, value + half, value - always, value + always)


def always_valid_half_width(variance: float, users: int, alpha: float, most_useful_at: int = 1_000) -> float:
    """Half of an asymptotic confidence sequence's width (Waudby-Smith et al. 2021, theorem 2.2).

    `variance` is that of the estimate. The sequence is narrowest at about `most_useful_at` users, and in the limit wrong on any
    day at all with probability alpha, if each user counts once, with a number that does not change any more."""
    squared = (-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / most_useful_at  # rho^2 of the paper, for variance 1
    grown = users * squared + 1
    # `users * variance` is the variance of one user's share in the estimate.
    return float(np.sqrt(users * variance * 2 * grown / (users**2 * squared) * np.log(np.sqrt(grown) / alpha)))


class SampleRatio(NamedTuple):
    """`p_value` of the counts if users fell into arms by their shares (chi-squared)."""

    counts: dict[str, int]
    expected: dict[str, float]
    p_value: float

    @property
    def is_mismatch(self) -> bool:
        """Assignment or logging is at fault; no difference of this experiment may be believed."""
        return self.p_value < MISMATCH


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Of arms with a share above 0. ValueError where users are in an arm that has none."""
    lost = [name for name, count in counts.items() if count and not shares.get(name)]
    if lost:
        raise ValueError(f"{counts[lost[0]]} users are in arm {lost[0]!r}, which has no share")
    arms = [name for name, share in shares.items() if share > 0]
    observed, total = [counts.get(name, 0) for name in arms], sum(counts.values())
    expected = [total * shares[name] / sum(shares[other] for other in arms) for name in arms]
    p_value = float(stats.chisquare(observed, expected).pvalue) if total and len(arms) > 1 else 1.0
    return SampleRatio(dict(zip(arms, observed, strict=True)), dict(zip(arms, expected, strict=True)), p_value)
