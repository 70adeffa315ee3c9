"""Limits on scores: numbers at all, as sure as they are right, and about where last night's were.

Shapes: N rows, K list length.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nightrank.feature_store.guards.psi import psi
from nightrank.trainer.evaluation.limits.finding import Finding, at_most, not_judged
from nightrank.trainer.evaluation.recommenders import Ids
from nightrank.trainer.evaluation.sides import Side

Floats = npt.NDArray[np.float64]
BINS = 10


def finite(broken: int, scores_NK: Floats) -> Finding:
    """`broken` weights and item vectors are no numbers; of scores -inf fills up short lists."""
    of_scores = int((np.isnan(scores_NK) | np.isposinf(scores_NK)).sum())
    return at_most("finite", float(broken + of_scores), 0.0, len(scores_NK), "values that are NaN or infinite:")


def calibration(ours: Side, theirs: Side, target_N: Ids, bound: float, rows: int) -> Finding:
    """Expected calibration error of first places, ours less theirs (`calibration_error`)."""
    answers = [(side, _hit(side, target_N)) for side in (ours, theirs)]
    n = min(int(hit.sum()) for _, hit in answers)
    if n < rows:
        return not_judged("calibration", n, f"{n} rows have the target in both lists' scores, {rows} are needed", bound)
    mine, other = (calibration_error(side.scores_NK[hit], side.ids_NK[hit, 0] == target_N[hit]) for side, hit in answers)
    what = f"calibration error {mine:.3f}, the champion's {other:.3f}; difference"
    return at_most("calibration", mine - other, bound, n, what)


def _hit(side: Side, target_N: Ids) -> npt.NDArray[np.bool_]:
    """Rows whose list was made from scores and holds the target."""
    scored: npt.NDArray[np.bool_] = np.isfinite(side.scores_NK[:, 0]) if side.scores_NK.shape[1] else np.zeros(0, bool)
    inside: npt.NDArray[np.bool_] = (side.ids_NK == target_N[:, None]).any(axis=1)
    return inside & scored


def calibration_error(scores_NK: Floats, first_N: npt.NDArray[np.bool_]) -> float:
    """Naeini et al. 2015, over ten bins of even width: sum of |share right - mean confidence|, weighted by rows. In [0, 1].

    The confidence of a row is the softmax of its first place over its list: how sure the model is that of the items in the
    list, which holds the target, the first one is it.
    """
    if not len(scores_NK):
        return 0.0
    best = scores_NK - scores_NK.max(axis=1, keepdims=True)
    sure_N = np.exp(best[:, 0]) / np.exp(best).sum(axis=1)
    bin_N = np.minimum((sure_N * BINS).astype(np.int64), BINS - 1)
    error = np.bincount(bin_N, weights=first_N - sure_N, minlength=BINS)
    return float(np.abs(error).sum() / len(sure_N))


def score_drift(ours_N: Floats, theirs_N: Floats, bound: float) -> Finding:
    """`psi` of the scores of first places over the tenths of the champion's. -inf is left out."""
    mine, other = (scores[np.isfinite(scores)] for scores in (ours_N, theirs_N))
    if not len(mine) or not len(other):
        return not_judged("score_drift", 0, "no list was made from scores", bound)
    edges = np.unique(np.quantile(other, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, scores), minlength=len(edges) + 1).tolist() for scores in (other, mine)]
    return at_most("score_drift", psi(*counts), bound, len(mine), "stability index of first scores")


def broken_values(tensors: Iterable[Tensor | Floats]) -> int:
    """How many of the numbers are NaN or infinite."""
    return sum(int((~torch.isfinite(torch.as_tensor(values))).sum()) for values in tensors)
