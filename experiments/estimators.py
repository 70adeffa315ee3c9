"""Off-policy estimates: what another policy would have earned, from what one policy logged.

Each returns one contribution a round, whose mean is the estimate (`intervals.interval`). The self-normalised estimate (SNIPS,
Swaminathan and Joachims 2015) is the sum of `ips` over the sum of `weights` (`intervals.ratio`): a little biased, of less
variance. They are tested against the Open Bandit Pipeline (Saito et al. 2021, section 3).
Shapes: R rounds, A actions. `action_R` is the logged action, `logged_R` its probability under the policy that chose it,
`target_RA` the probabilities of the policy in question.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


def weights(target_RA: Floats, action_R: Ints, logged_R: Floats) -> Floats:
    """Importance weights [R]: how much likelier the target's choice of the logged action is. ValueError where one was logged
    with probability 0 or none."""
    bad = np.flatnonzero(~(logged_R > 0) | ~(logged_R <= 1))
    if len(bad):
        raise ValueError(f"round {bad[0]} was logged with propensity {logged_R[bad[0]]}; it must be above 0 and at most 1")
    result: Floats = np.take_along_axis(target_RA, action_R[:, None], axis=1)[:, 0] / logged_R
    return result


def ips(weight_R: Floats, reward_R: Floats) -> Floats:
    """Inverse propensity scores (Horvitz and Thompson 1952): unbiased where the logging policy can choose all that the target
    can."""
    return weight_R * reward_R


def direct(expected_RA: Floats, target_RA: Floats) -> Floats:
    """The direct method: the mean of a model's expected reward under the target."""
    result: Floats = (expected_RA * target_RA).sum(axis=1)
    return result


def doubly_robust(weight_R: Floats, reward_R: Floats, action_R: Ints, expected_RA: Floats, target_RA: Floats) -> Floats:
    """The direct method, corrected by weighted residuals (Dudik et al. 2011): unbiased if either propensities or model are."""
    predicted_R = np.take_along_axis(expected_RA, action_R[:, None], axis=1)[:, 0]
    result: Floats = direct(expected_RA, target_RA) + weight_R * (reward_R - predicted_R)
    return result
