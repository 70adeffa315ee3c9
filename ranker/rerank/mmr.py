"""Diversity: maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

Shapes: B lists, C candidates, I1 = items + 1, D width of the item vectors.
"""

import numpy as np

from nightrank.ranker.rerank.greedy import greedy
from nightrank.ranker.rerank.lists import Floats, Ids, Lists
from nightrank.ranker.rerank.vectors import UnitVectors


def mmr(lists: Lists, vectors_ID: UnitVectors, k: int, weight: float) -> Lists:
    """The next item has the largest (1 - w) relevance - w max over chosen items of the cosine (0 before the first), k times.

    weight 0: the same order. weight 1: relevance decides the first place alone. An item whose vector is zeros is like no other.
    """
    return greedy(lists, k, _Marginal(lists, vectors_ID, weight))


class _Marginal:
    def __init__(self, lists: Lists, vectors_ID: UnitVectors, weight: float) -> None:
        self.vectors_BCD = vectors_ID[lists.ids_BC]
        self.relevance_BC, self.weight = lists.relevance_BC, weight
        self.nearest_BC: Floats | None = None

    def gain(self) -> Floats:
        if self.nearest_BC is None:
            return self.relevance_BC
        result: Floats = (1 - self.weight) * self.relevance_BC - self.weight * self.nearest_BC
        return result

    def take(self, chosen_B: Ids) -> None:
        one_BD = self.vectors_BCD[np.arange(len(chosen_B)), chosen_B]
        like_BC = np.matmul(self.vectors_BCD, one_BD[:, :, None])[:, :, 0].astype(np.float64)
        self.nearest_BC = like_BC if self.nearest_BC is None else np.maximum(self.nearest_BC, like_BC)
