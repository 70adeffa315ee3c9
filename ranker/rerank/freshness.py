"""Freshness control: what came to the catalogue lately moves up.

Shapes: B lists, C candidates, I1 = items + 1.
"""

import numpy as np

from nightrank.ranker.rerank.lists import Floats, Lists, resorted


def fresher(lists: Lists, freshness_I: Floats, weight: float) -> Lists:
    """Order of relevance + w freshness, with freshness in [0, 1]. weight 0: the same order; below 0 old items move up."""
    return resorted(lists, lists.relevance_BC + weight * freshness_I[lists.ids_BC])


def freshness_of(age_days_I: Floats, half_life_days: float) -> Floats:
    """[I1] 1 on an item's first day, 1/2 after the half-life, 0 where the age is not known (NaN)."""
    age = np.maximum(np.nan_to_num(age_days_I, nan=np.inf), 0)
    result: Floats = np.exp2(-age / half_life_days)
    return result
