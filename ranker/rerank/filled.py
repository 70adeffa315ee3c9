"""A list that rules made too short is filled with popular items that pass them.

Shapes: B lists, K places, P popular items, most popular first, S items that the user must not see (0: none).
"""

from typing import NamedTuple

import numpy as np

from nightrank.ranker.rerank.allowed import without
from nightrank.ranker.rerank.lists import Flags, Ids, Lists


class Filled(NamedTuple):
    """`filler_BK` is True where an item is not one of the candidates."""

    lists: Lists
    filler_BK: Flags


def filled(lists: Lists, popular_P: Ids, unseen_BS: Ids, k: int) -> Filled:
    """Lists of k places: the items there are, then the most popular ones that are not in the list and not among the user's own
    `unseen_BS`. Shorter only where nothing is left. Lists that are long enough are the same."""
    head, relevance = lists.ids_BC[:, :k], lists.relevance_BC[:, :k]
    lacking = np.flatnonzero((head > 0).sum(axis=1) < k)
    pool = np.zeros((len(head), len(popular_P)), dtype=np.int64)
    pool[lacking] = popular_P
    out = np.concatenate([head, unseen_BS], axis=1)
    pool = without(Lists(pool, np.zeros(pool.shape)), out).ids_BC
    both = np.concatenate([head, pool], axis=1)
    order = np.argsort(both == 0, axis=1, kind="stable")[:, :k]
    ids = np.take_along_axis(both, order, axis=1)
    value = np.take_along_axis(np.concatenate([relevance, np.zeros(pool.shape)], axis=1), order, axis=1)
    return Filled(Lists(ids, value), (order >= head.shape[1]) & (ids > 0))
