"""Ratios of sums with intervals. Rounds of one user are not independent, so users are what is drawn.

A mean over rounds is the ratio of the sum of contributions to the number of rounds, a self-normalised mean that to the sum of
weights. What an interval needs of the users are sums, so that a cluster can add them up.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.floating[Any]]


class Estimate(NamedTuple):
    value: float
    low: float
    high: float
    rounds: int
    users: int


class Moments(NamedTuple):
    """Sums over users of a user's own sums `a` (above) and `b` (below), and of their products."""

    users: int
    rounds: int
    a: float
    b: float
    aa: float
    ab: float
    bb: float


def moments(above_R: Floats, below_R: Floats, user_R: npt.NDArray[Any]) -> Moments:
    names, user_R = np.unique(user_R, return_inverse=True)
    a_U = np.bincount(user_R, weights=above_R, minlength=len(names))
    b_U = np.bincount(user_R, weights=below_R, minlength=len(names))
    sums = [float(values.sum()) for values in (a_U, b_U, a_U * a_U, a_U * b_U, b_U * b_U)]
    return Moments(len(names), len(above_R), *sums)


def ratio(found: Moments, level: float = 0.95) -> Estimate:
    """a / b with Student's interval of a ratio of two sums over users (Liang and Zeger 1986).

    ValueError with fewer than two users, of whose differences nothing is known, and where `b` is 0.
    """
    if found.users < 2:
        raise ValueError(f"{found.users} users are too few for an interval; at least two are needed")
    if found.b == 0:
        raise ValueError("the target never chooses what was logged, so the log says nothing of it")
    value = found.a / found.b
    squares = max(found.aa - 2 * value * found.ab + value**2 * found.bb, 0.0)
    error = np.sqrt(found.users / (found.users - 1) * squares) / found.b
    half = float(stats.t.ppf(0.5 + level / 2, found.users - 1) * error)
    return Estimate(value, value - half, value + half, found.rounds, found.users)


def interval(contribution_R: Floats, user_R: npt.NDArray[Any], level: float = 0.95) -> Estimate:
    """The mean of the contributions."""
    return ratio(moments(contribution_R, np.ones(len(contribution_R)), user_R), level)


def effective_rounds(weight_sum: float, weight_squares: float) -> float:
    """Kish's effective sample size: so many rounds of equal weight would say as much."""
    return weight_sum**2 / weight_squares if weight_squares else 0.0
