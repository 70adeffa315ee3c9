"""Business rules that forbid items: deny and allow lists, stock, price range. Each gives the items that may be shown.

Shapes: B lists, C candidates, I1 = items + 1.
"""

import numpy as np

from nightrank.ranker.rerank.lists import Flags, Floats, Ids, Lists, kept


def only_allowed(lists: Lists, allowed_I: Flags) -> Lists:
    """Items that are not allowed are gone; the others keep their order. All allowed: the same lists."""
    return kept(lists, allowed_I[lists.ids_BC])


def without(lists: Lists, out_BS: Ids) -> Lists:
    """Each user's own items (already bought, say; 0 is none) are gone; the others keep their order."""
    if out_BS.shape[1] == 0:
        return lists
    span = 1 + max(int(lists.ids_BC.max(initial=0)), int(out_BS.max(initial=0)))
    rows = np.arange(len(out_BS), dtype=np.int64)[:, None] * span
    return kept(lists, ~np.isin(rows + lists.ids_BC, rows + out_BS))


def in_price_range(price_I: Floats, lowest: float | None, highest: float | None) -> Flags:
    """[I1] True within the range, ends included. With a bound, an item without a price (NaN) is out."""
    inside = np.ones(len(price_I), dtype=bool)
    if lowest is not None:
        inside &= price_I >= lowest
    if highest is not None:
        inside &= price_I <= highest
    return inside
