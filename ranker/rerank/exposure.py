"""Exposure floor: new items get a share of the places.

Shapes: B lists, C candidates, I1 = items + 1.
"""

import numpy as np

from nightrank.ranker.rerank.lists import Flags, Lists, resorted


def with_new_items(lists: Lists, new_I: Flags, k: int, share: float) -> Lists:
    """Of the first k places at least floor(share k) hold new items, as far as there are such candidates: the best of them take
    the place of the last items that are not new, at the end of the k places. share 0: the same order."""
    wanted = int(np.floor(share * k + 1e-9))
    new_BC = new_I[lists.ids_BC] & lists.present_BC
    inside_BC = np.broadcast_to(np.arange(lists.ids_BC.shape[1]) < k, new_BC.shape)
    within_B = (new_BC & inside_BC).sum(axis=1)
    later_BC = new_BC & ~inside_BC
    missing_B1 = np.minimum(np.maximum(wanted - within_B, 0), later_BC.sum(axis=1))[:, None]
    comes_BC = later_BC & (np.cumsum(later_BC, axis=1) <= missing_B1)
    old_BC = ~new_BC & inside_BC & lists.present_BC
    from_end_BC = np.cumsum(old_BC[:, ::-1], axis=1)[:, ::-1]
    goes_BC = old_BC & (from_end_BC <= missing_B1)
    # Three groups in this order, each in its own: what stays in the k places, what comes in, the rest.
    group_BC = np.where(comes_BC, 1, np.where(inside_BC & ~goes_BC, 0, 2))
    return resorted(lists, -group_BC.astype(np.float64))
