"""Figures of lists beyond accuracy: numpy, per list, or one number over all lists.

Shapes: B lists, K places (id 0: no item), I1 = items + 1, G categories, D width of the item vectors.

Formulas, for a list of n items:
  intra_list_diversity   = mean of 1 - cosine over the n (n - 1) / 2 pairs; 0 for fewer than two items
  inverse_user_frequency = mean of -log2(users of the item / users); an item without users counts as one user's
  average_popularity     = mean of the interactions of its items
  popularity_lift        = (average popularity of lists - that of histories) / that of histories (Abdollahpouri et al. 2019)
  serendipity            = mean over places j of h_j max(0, (I + 1 - j) / I - (I + 1 - r) / I), hits h_j; r is the item's place
                           among the distinct counts, largest first; an item nobody chose has no second term
  coverage               = distinct items listed / items
  gini                   = of how often each item of the catalogue is listed: 0 all the same, 1 - 1/I all the same item
RecTools gives the same numbers of the first three and of serendipity, and the same distinct items for coverage
(tests/unit/test_list_metrics.py); it has no Gini and no popularity lift.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]


def intra_list_diversity(ids_BK: Integers, unit_vectors_ID: NDArray[np.floating[Any]]) -> Floats:
    """[B]. The squared length of the sum of unit vectors is n + 2 x (sum of cosines over pairs), so no pair is visited."""
    vectors_BKD = unit_vectors_ID[ids_BK].astype(np.float64)
    n_B = (ids_BK > 0).sum(axis=1)
    whole_B = (vectors_BKD.sum(axis=1) ** 2).sum(axis=1)
    own_B = (vectors_BKD**2).sum(axis=(1, 2))
    pairs_B = n_B * (n_B - 1) / 2
    result: Floats = np.where(pairs_B > 0, 1 - (whole_B - own_B) / 2 / np.maximum(pairs_B, 1), 0.0)
    return result


def inverse_user_frequency(ids_BK: Integers, users_I: Integers, users: int) -> Floats:
    """[B] in bits."""
    bits_I = -np.log2(np.maximum(users_I, 1) / max(users, 1))
    return _mean(ids_BK, bits_I)


def average_popularity(ids_BK: Integers, counts_I: Integers) -> Floats:
    """[B] interactions."""
    return _mean(ids_BK, counts_I.astype(np.float64))


def popularity_lift(lists: Floats, histories: Floats) -> float:
    """From each user's average popularity of the list and of the history; above 0 lists are the more popular ones."""
    return float((lists.mean() - histories.mean()) / histories.mean())


def serendipity(hits_BK: NDArray[np.bool_], ids_BK: Integers, counts_I: Integers, items: int) -> Floats:
    """[B] in [0, 1): hits that popularity would not have put so high."""
    distinct, place_I = np.unique(-counts_I[1:], return_inverse=True)
    rank_I = np.concatenate([[len(distinct)], place_I + 1])
    popular_I = np.where(counts_I > 0, (items + 1 - rank_I) / items, 0.0)
    listed_K = (items + 1 - np.arange(1, ids_BK.shape[1] + 1)) / items
    gain_BK = np.maximum(listed_K - popular_I[ids_BK], 0) * hits_BK
    result: Floats = gain_BK.sum(axis=1) / np.maximum((ids_BK > 0).sum(axis=1), 1)
    return result


def coverage(ids_BK: Integers, items: int) -> float:
    """In [0, 1]."""
    return len(np.unique(ids_BK[ids_BK > 0])) / items


def gini(ids_BK: Integers, items: int) -> float:
    """Over all items of the catalogue, those in no list included; 0 where nothing is listed."""
    counts_I = np.sort(np.bincount(ids_BK[ids_BK > 0].astype(np.int64), minlength=items + 1)[1:])
    total = counts_I.sum()
    if total == 0:
        return 0.0
    place_I = np.arange(1, items + 1)
    return float((2 * (place_I * counts_I).sum() / total - (items + 1)) / items)


def _mean(ids_BK: Integers, value_I: Floats) -> Floats:
    listed = ids_BK > 0
    result: Floats = np.where(listed, value_I[ids_BK], 0.0).sum(axis=1) / np.maximum(listed.sum(axis=1), 1)
    return result
