"""Limits on the lists themselves: how much of the catalogue, how popular, how different from last night's.

Shapes: N rows, K list length, I1 = items + 1.
"""

import numpy as np
import numpy.typing as npt

from nightrank.ranker.metrics.lists import average_popularity
from nightrank.trainer.evaluation.limits.finding import Finding, at_least, at_most
from nightrank.trainer.evaluation.recommenders import Ids

Floats = npt.NDArray[np.float64]


def coverage(ours_NK: Ids, theirs_NK: Ids, bound: float) -> Finding:
    """Distinct items in our lists / distinct items in theirs. 1 where theirs hold none."""
    ours, theirs = (len(np.unique(ids[ids > 0])) for ids in (ours_NK, theirs_NK))
    value = ours / theirs if theirs else 1.0
    what = f"lists hold {ours} items, the champion's {theirs}; share"
    return at_least("coverage", value, bound, len(ours_NK), what)


def popularity_lift(ours_NK: Ids, theirs_NK: Ids, events_I1: Ids, bound: float) -> Finding:
    """Mean over users of the mean events of their listed items, ours / theirs. One event is added to each."""
    ours, theirs = (float(average_popularity(ids, events_I1).mean()) for ids in (ours_NK, theirs_NK))
    what = f"a listed item has {ours:.1f} events, one of the champion's {theirs:.1f}; ratio"
    return at_most("popularity_lift", (ours + 1) / (theirs + 1), bound, len(ours_NK), what)


def list_churn(ours_NK: Ids, theirs_NK: Ids, bound: float) -> Finding:
    """1 - mean over users of |ours and theirs| / |theirs|: 0 for the same items in any order, 1 for none in common."""
    value = float(churn_rows(ours_NK, theirs_NK).mean())
    return at_most("list_churn", value, bound, len(ours_NK), "replaced share of the champion's lists")


def churn_rows(ours_NK: Ids, theirs_NK: Ids) -> Floats:
    """[N] in [0, 1]; 0 for a row whose champion's list is empty. An item stands in a list once."""
    kept = ((theirs_NK[:, :, None] == ours_NK[:, None, :]) & (theirs_NK[:, :, None] > 0)).any(axis=2).sum(axis=1)
    length = (theirs_NK > 0).sum(axis=1)
    rows: Floats = np.where(length > 0, 1 - kept / np.maximum(length, 1), 0.0)
    return rows
