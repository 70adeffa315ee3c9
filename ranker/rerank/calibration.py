"""Calibration: a list holds categories in the shares of the user's history (Steck, RecSys 2018).

Shapes: B lists, C candidates, I1 = items + 1, G categories (0: not known).
"""

import numpy as np
from numpy.typing import NDArray

from nightrank.ranker.rerank.greedy import greedy
from nightrank.ranker.rerank.lists import Floats, Ids, Lists

SMOOTHING = 0.01
"""Steck's alpha: the list's share of a category is mixed with so much of the user's, so that the divergence is finite."""


def calibrated(lists: Lists, category_I: NDArray[np.int64], shares_BG: Floats, k: int, weight: float) -> Lists:
    """The next item has the largest (1 - w) sum of relevance - w KL(user's shares || list's shares), for k places (Steck's
    equations 4 and 6). weight 0, or a user whose shares are all 0: the same order."""
    return greedy(lists, k, _Divergence(lists, category_I, shares_BG, weight))


def shares(history_BH: Ids, category_I: NDArray[np.int64], categories: int) -> Floats:
    """[B, G] the share of each known category in each history (0: no item in this place); all 0 where none is known."""
    found_BH = category_I[history_BH]
    rows = np.repeat(np.arange(len(history_BH)), history_BH.shape[1])
    flat = np.bincount(rows * categories + found_BH.ravel(), minlength=len(history_BH) * categories)
    counts = flat.reshape(-1, categories).astype(np.float64)
    counts[:, 0] = 0
    result: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return result


def divergence(shares_BG: Floats, listed_BG: Floats) -> Floats:
    """[B] Steck's KL(p || (1 - alpha) q + alpha p); 0 where p is all 0."""
    result: Floats = _terms(shares_BG, listed_BG).sum(axis=1)
    return result


def _terms(p: Floats, q: Floats) -> Floats:
    mixed = (1 - SMOOTHING) * q + SMOOTHING * p
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = np.where(p > 0, p * np.log(p / mixed), 0.0)
    return result


class _Divergence:
    def __init__(self, lists: Lists, category_I: NDArray[np.int64], shares_BG: Floats, weight: float) -> None:
        self.category_BC = category_I[lists.ids_BC]
        self.shares_BG, self.weight, self.relevance_BC = shares_BG, weight, lists.relevance_BC
        self.counts_BG, self.length = np.zeros_like(shares_BG), 0

    def gain(self) -> Floats:
        """Of the whole list with each candidate added; what all candidates share is left out of the relevance."""
        length = self.length + 1
        now_BG = _terms(self.shares_BG, self.counts_BG / length)
        more_BG = _terms(self.shares_BG, (self.counts_BG + 1) / length) - now_BG
        after_BC = now_BG.sum(axis=1, keepdims=True) + np.take_along_axis(more_BG, self.category_BC, axis=1)
        result: Floats = (1 - self.weight) * self.relevance_BC - self.weight * after_BC
        return result

    def take(self, chosen_B: Ids) -> None:
        row = np.arange(len(chosen_B))
        self.counts_BG[row, self.category_BC[row, chosen_B]] += 1
        self.length += 1
