"""Expected rewards for the doubly robust estimate, each from rounds of other users than its own.

Shapes: R rounds, A actions, D features of an action in its round.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nightrank.experiments.assignment import point
from nightrank.experiments.linear_bandit import LinearBandit

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
FOLDS: Final = 3


def fold_of(user: str, folds: int = FOLDS) -> int:
    return int(point("outcome", user) * folds)


def cross_fitted(
    features_RAD: Floats, action_R: Ints, reward_R: Floats, user_R: npt.NDArray[Any], folds: int = FOLDS
) -> Floats:
    """[R, A]: a ridge regression of the reward of logged actions, fitted without the users of the round's own fold
    (Chernozhukov et al. 2018), so that the estimate's interval stays right."""
    fold_R = np.array([fold_of(str(user), folds) for user in user_R.tolist()], dtype=np.int64)
    chosen_RD = np.take_along_axis(features_RAD, action_R[:, None, None], axis=1)[:, 0]
    expected_RA = np.empty(features_RAD.shape[:2])
    for fold in range(folds):
        inside_R = fold_R == fold
        model = LinearBandit(features_RAD.shape[2])
        model.learn(chosen_RD[~inside_R], reward_R[~inside_R])
        expected_RA[inside_R] = model.expected(features_RAD[inside_R])
    return expected_RA
