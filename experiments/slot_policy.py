"""One place of a list is drawn from a known distribution, so that other policies can be judged by what was seen there.

Shapes: B lists, C candidates.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
NONE: Final = -np.inf
"""The score of a place without a candidate."""


def by_order(is_there_BC: npt.NDArray[np.bool_]) -> Floats:
    """Scores of candidates in their order, [B, C]: 0, -log 2, -log 3, ... With temperature 1 their softmax falls as 1, 1/2,
    1/3, whatever the scale of a model's scores."""
    place_C = np.arange(1, is_there_BC.shape[1] + 1)
    result: Floats = np.where(is_there_BC, -np.log(place_C), NONE)
    return result


def probabilities(scores_BC: Floats, temperature: float, uniform: float) -> Floats:
    """(1 - uniform) softmax(score / temperature) + uniform / candidates, [B, C] in float64; rows add up to 1.

    Candidates whose score is `NONE` have probability 0. With temperature 0 the softmax is all on the best candidate, the first
    of equal ones. Each candidate has at least uniform / C, which bounds the weights of every estimate.
    """
    scores_BC = scores_BC.astype(np.float64)
    is_there_BC = np.isfinite(scores_BC)
    count_B = is_there_BC.sum(axis=1, keepdims=True)
    if (count_B == 0).any():
        raise ValueError(f"list {int(np.flatnonzero(count_B[:, 0] == 0)[0])} has no candidate")
    best_B = scores_BC.max(axis=1, keepdims=True)
    if temperature > 0:
        weight_BC = np.exp(np.where(is_there_BC, scores_BC - best_B, NONE) / temperature)
    else:
        weight_BC = np.zeros_like(scores_BC)
        np.put_along_axis(weight_BC, scores_BC.argmax(axis=1)[:, None], 1.0, axis=1)
    softmax_BC = weight_BC / weight_BC.sum(axis=1, keepdims=True)
    result: Floats = (1 - uniform) * softmax_BC + uniform * is_there_BC / count_B
    return result


def draw(chance_BC: Floats, point_B: Floats) -> tuple[Ints, Floats]:
    """(place of the chosen candidate [B], its probability [B]) by the inverse of the distribution at `point_B` in [0, 1).

    The same points give the same choice, so a repeated run logs what the first one did. Nothing of probability 0 is chosen.
    """
    cdf_BC = np.cumsum(chance_BC, axis=1)
    at_B = point_B * cdf_BC[:, -1]
    chosen_B = (cdf_BC <= at_B[:, None]).sum(axis=1)
    return chosen_B, np.take_along_axis(chance_BC, chosen_B[:, None], axis=1)[:, 0]
