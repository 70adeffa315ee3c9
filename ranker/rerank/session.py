"""Session boost: items like those of the newest actions move up.

Shapes: B lists, C candidates, I1 = items + 1, R newest items (0: none), D width of the item vectors.
"""

import numpy as np

from nightrank.ranker.rerank.lists import Ids, Lists, resorted
from nightrank.ranker.rerank.vectors import UnitVectors


def nearer_session(lists: Lists, vectors_ID: UnitVectors, newest_BR: Ids, weight: float) -> Lists:
    """Order of relevance + w times the largest cosine to one of the newest items (0 at least). weight 0, or a user without
    newest items: the same order."""
    if newest_BR.shape[1] == 0:
        return lists
    like_BCR = np.matmul(vectors_ID[lists.ids_BC], vectors_ID[newest_BR].transpose(0, 2, 1)).astype(np.float64)
    return resorted(lists, lists.relevance_BC + weight * np.maximum(like_BCR.max(axis=2), 0))
