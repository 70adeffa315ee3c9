"""Popularity control: popular items give way to others, or others to them.

Shapes: B lists, C candidates, I1 = items + 1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightrank.ranker.rerank.lists import Floats, Lists, resorted


def less_popular(lists: Lists, popularity_I: Floats, weight: float) -> Lists:
    """Order of relevance - w popularity, with popularity in [0, 1]. weight 0: the same order; below 0 popular items move up."""
    return resorted(lists, lists.relevance_BC - weight * popularity_I[lists.ids_BC])


def popularity_of(counts_I: NDArray[np.number[Any]]) -> Floats:
    """[I1] log(1 + count) as a share of the largest; 0 for all where nothing was counted."""
    logs = np.log1p(counts_I.astype(np.float64))
    logs[0] = 0
    result: Floats = logs / max(float(logs.max()), 1e-300)
    return result
