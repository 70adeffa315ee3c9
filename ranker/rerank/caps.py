"""At most so many items of a category in a list.

Shapes: B lists, C candidates, I1 = items + 1, G categories (0: not known).
"""

import numpy as np
from numpy.typing import NDArray

from nightrank.ranker.rerank.lists import Ids, Lists, kept

NO_CAP = np.iinfo(np.int64).max


def capped(lists: Lists, category_I: NDArray[np.int64], cap_G: Ids) -> Lists:
    """The first `cap_G[g]` items of each category g stay, in their order; `NO_CAP`, and category 0, let all stay."""
    category_BC = np.where(lists.present_BC, category_I[lists.ids_BC], 0)
    order_BC = np.argsort(category_BC, axis=1, kind="stable")
    sorted_BC = np.take_along_axis(category_BC, order_BC, axis=1)
    place_BC = np.broadcast_to(np.arange(sorted_BC.shape[1]), sorted_BC.shape)
    begins_BC = np.ones(sorted_BC.shape, dtype=bool)
    begins_BC[:, 1:] = sorted_BC[:, 1:] != sorted_BC[:, :-1]
    nth_sorted_BC = place_BC - np.maximum.accumulate(np.where(begins_BC, place_BC, 0), axis=1)
    nth_BC = np.empty_like(nth_sorted_BC)
    np.put_along_axis(nth_BC, order_BC, nth_sorted_BC, axis=1)
    return kept(lists, (category_BC == 0) | (nth_BC < cap_G[category_BC]))
