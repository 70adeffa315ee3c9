"""A micro-batch of lists as re-ranking rules see it: arrays, best item first.

Shapes: B lists, C candidates, I1 = items + 1 (id 0 is no item). Every rule takes Lists and returns Lists: the same items in
another order, or fewer of them. A rule reads `relevance_BC`, which always falls along the list: an item's relevance is that of
its place. So rules can follow one another, and what an earlier rule moved up counts as relevant for the next.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Lists(NamedTuple):
    """Items of a row stand first, id 0 after them. `relevance_BC` is in [0, 1], 0 where there is no item."""

    ids_BC: Ids
    relevance_BC: Floats

    @property
    def present_BC(self) -> Flags:
        return self.ids_BC > 0


def started(ids_BC: NDArray[np.integer[Any]], scores_BC: NDArray[np.floating[Any]]) -> Lists:
    """Lists in order of the score, equal scores by item id. Relevance is the score on a line from the lowest of the row's
    candidates, 0, to the highest, 1; where all scores are equal it is 1."""
    ids = ids_BC.astype(np.int64)
    scores = np.where(ids > 0, scores_BC.astype(np.float64), -np.inf)
    order = np.lexsort((ids, -scores), axis=1)
    ids, scores = (np.take_along_axis(values, order, axis=1) for values in (ids, scores))
    present = ids > 0
    low_B1 = np.where(present, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high_B1 = np.where(present, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        span_B1 = high_B1 - low_B1
        relevance = np.where(span_B1 > 0, (scores - low_B1) / span_B1, 1.0)
    return Lists(ids, np.where(present, relevance, 0.0))


def reordered(lists: Lists, order_BC: Ids) -> Lists:
    """The items in the order of the places given; the relevance of each place stays where it was."""
    return Lists(np.take_along_axis(lists.ids_BC, order_BC, axis=1), lists.relevance_BC)


def resorted(lists: Lists, value_BC: Floats) -> Lists:
    """The items by falling value, equal values in the order they came in."""
    held = np.where(lists.present_BC, value_BC, -np.inf)
    return reordered(lists, np.argsort(-held, axis=1, kind="stable"))


def kept(lists: Lists, keep_BC: Flags) -> Lists:
    """The items for which `keep_BC` is True, in their order, each with the relevance it had."""
    keep = keep_BC & lists.present_BC
    order = np.argsort(~keep, axis=1, kind="stable")
    there = np.take_along_axis(keep, order, axis=1)
    ids, relevance = (np.take_along_axis(values, order, axis=1) for values in lists)
    return Lists(np.where(there, ids, 0), np.where(there, relevance, 0.0))


def cut(lists: Lists, k: int) -> Lists:
    """The first k places."""
    return Lists(lists.ids_BC[:, :k], lists.relevance_BC[:, :k])
