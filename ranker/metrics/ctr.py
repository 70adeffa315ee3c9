"""The one definition of the metrics of probabilities: numpy, over all rows at once.

Shapes: N rows, A actions.

Formulas, for scores s and labels y in {0, 1} of N rows:
  auc      = P(s of a row with y = 1 > s of a row with y = 0) + P(equal) / 2, over all such pairs
  log_loss = -1/N sum y log p + (1 - y) log(1 - p), p cut to [1e-15, 1 - 1e-15]
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nightrank.feature_store.contracts.errors import DataContractError

Numbers = NDArray[np.floating[Any]]
Labels = NDArray[Any]

CUT: Final = 1e-15


def auc(scores: Numbers, labels: Labels) -> float:
    """Exact, O(N log N): the rank sum of the positive rows, where equal scores share the mean of their ranks (Mann & Whitney).

    NaN where one of the two labels does not occur. DataContractError for a score that is no number or another label.
    """
    values, wanted = _checked(scores, labels)
    positives = int(wanted.sum())
    negatives = len(wanted) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Twice the mean rank of a group of equal scores is a whole number, so the sum is exact.
    twice_rank = 2 * np.cumsum(counts) - counts + 1
    twice = int(twice_rank[where][wanted].sum()) - positives * (positives + 1)
    return twice / (2 * positives * negatives)


def log_loss(probabilities: Numbers, labels: Labels) -> float:
    """In nats; NaN for no row. DataContractError as `auc`, and for a probability outside of [0, 1]."""
    values, wanted = _checked(probabilities, labels)
    if len(values) == 0:
        return float("nan")
    if values.min() < 0 or values.max() > 1:
        raise DataContractError(
            f"probabilities range from {values.min():g} to {values.max():g}", "pass sigmoid(logit), not the logit"
        )
    cut = np.clip(values, CUT, 1 - CUT)
    return float(-np.where(wanted, np.log(cut), np.log1p(-cut)).mean())


def by_action(actions: Sequence[str], scores_NA: Numbers, labels_NA: Labels) -> dict[str, dict[str, float]]:
    """action -> `auc` and `log_loss` over the rows with a label for it: a NaN label is left out."""
    figures = {}
    for place, action in enumerate(actions):
        labelled_N = ~np.isnan(labels_NA[:, place])
        scores, wanted = scores_NA[labelled_N, place], labels_NA[labelled_N, place]
        figures[action] = {"auc": auc(scores, wanted), "log_loss": log_loss(scores, wanted)}
    return figures


def mean_over_actions(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """`auc` and `log_loss`, each the mean over the actions."""
    return {name: float(np.mean([figure[name] for figure in figures.values()])) for name in ("auc", "log_loss")}


def told_apart(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """The same figures flat, as `<action>/auc` and `<action>/log_loss`."""
    return {f"{action}/{name}": value for action, figure in figures.items() for name, value in figure.items()}


def _checked(scores: Numbers, labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, wanted = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if values.ndim != 1 or values.shape != wanted.shape:
        raise DataContractError(
            f"scores of shape {values.shape} came with labels of shape {wanted.shape}", "pass one label per row"
        )
    if np.isnan(values).any():
        raise DataContractError(f"{int(np.isnan(values).sum())} scores are NaN", "check the model that produced them")
    if not np.isin(wanted, (0, 1)).all():
        raise DataContractError(
            "there are labels other than 0 and 1", "leave out rows without a label, and round graded labels"
        )
    return values, wanted.astype(np.bool_)
