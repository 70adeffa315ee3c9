"""Diversity of the whole list: greedy maximum a posteriori of a determinantal point process, by incremental Cholesky (Chen,
Zhang and Zhou, NeurIPS 2018, algorithm 1).

Shapes: B lists, C candidates, D width of the item vectors, N places filled so far.
"""

import numpy as np

from nightrank.ranker.rerank.greedy import greedy
from nightrank.ranker.rerank.lists import Floats, Ids, Lists
from nightrank.ranker.rerank.vectors import UnitVectors

_LEAST = 1e-10
"""What is left of an item that the chosen ones explain wholly; keeps the logarithm finite."""


def dpp(lists: Lists, vectors_ID: UnitVectors, k: int, weight: float) -> Lists:
    """The next item has the largest (1 - w) relevance + w log of its squared distance to the space of the chosen ones, for k
    places: the paper's equation 13 with theta = 1 - w and S_ij = (1 + cosine) / 2, in [0, 1]. weight 0: the same order."""
    return greedy(lists, k, _Volume(lists, vectors_ID, weight))


class _Volume:
    def __init__(self, lists: Lists, vectors_ID: UnitVectors, weight: float) -> None:
        self.vectors_BCD = vectors_ID[lists.ids_BC]
        self.relevance_BC, self.weight = lists.relevance_BC, weight
        self.left_BC = np.ones(lists.ids_BC.shape)
        self.parts: list[Floats] = []

    def gain(self) -> Floats:
        result: Floats = (1 - self.weight) * self.relevance_BC + self.weight * np.log(self.left_BC)
        return result

    def take(self, chosen_B: Ids) -> None:
        row = np.arange(len(chosen_B))
        one_BD = self.vectors_BCD[row, chosen_B]
        kernel_BC = 0.5 + 0.5 * np.matmul(self.vectors_BCD, one_BD[:, :, None])[:, :, 0].astype(np.float64)
        for part_BC in self.parts:
            kernel_BC -= part_BC * part_BC[row, chosen_B][:, None]
        part_BC = kernel_BC / np.sqrt(self.left_BC[row, chosen_B])[:, None]
        self.parts.append(part_BC)
        self.left_BC = np.maximum(self.left_BC - part_BC**2, _LEAST)
