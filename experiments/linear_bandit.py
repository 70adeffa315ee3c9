"""An exploring policy over one place of the list: a ridge regression of the reward, chosen by its upper bound or by a draw.

Shapes: B lists, C candidates, D features of a candidate for a list's user.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


@dataclass
class LinearBandit:
    """One weight vector for all candidates (Li et al. 2010), updated once a night from the day's feedback."""

    width: int
    penalty: float = 1.0
    precision_DD: Floats = field(init=False)
    moment_D: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.precision_DD = np.eye(self.width) * self.penalty
        self.moment_D = np.zeros(self.width)

    def learn(self, features_RD: Floats, reward_R: Floats) -> None:
        """Takes in rounds. The order of rounds and of nights does not matter."""
        self.precision_DD = self.precision_DD + features_RD.T @ features_RD
        self.moment_D = self.moment_D + features_RD.T @ reward_R

    def upper_bounds(self, features_BCD: Floats, width: float) -> Floats:
        """Mean + `width` standard deviations, [B, C] (LinUCB, Li et al. 2010, algorithm 1)."""
        covariance_DD = np.linalg.inv(self.precision_DD)
        variance_BC = np.einsum("bcd,de,bce->bc", features_BCD, covariance_DD, features_BCD)
        result: Floats = self.expected(features_BCD) + width * np.sqrt(np.maximum(variance_BC, 0))
        return result

    def sampled(self, features_BCD: Floats, rng: np.random.Generator, std: float) -> Floats:
        """The reward under weights drawn for each list, [B, C] (Thompson sampling, Agrawal and Goyal 2013)."""
        lower_DD = np.linalg.cholesky(np.linalg.inv(self.precision_DD))
        noise_BD = rng.standard_normal((len(features_BCD), self.width)) @ lower_DD.T
        drawn_BD = np.linalg.solve(self.precision_DD, self.moment_D) + std * noise_BD
        result: Floats = np.einsum("bcd,bd->bc", features_BCD, drawn_BD)
        return result

    def expected(self, features_BCD: Floats) -> Floats:
        """[B, C]."""
        result: Floats = features_BCD @ np.linalg.solve(self.precision_DD, self.moment_D)
        return result
