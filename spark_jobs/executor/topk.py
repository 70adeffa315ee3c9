"""Top-k of dense score blocks in numpy, with ties by the lower id.

Shapes: B rows, I columns (item ids), K list length, D width.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CELLS = 4_000_000
"""Scores of one block: 16 MB of float32."""
CHUNK: Final = 65_536
"""Columns that are widened to float64 at once: 32 MB at width 64."""


def block_rows(items: int) -> int:
    """Rows of a block over `items` columns."""
    return max(1, CELLS // max(items, 1))


def top_k(scores_BI: Scores, k: int) -> tuple[Ids, Scores]:
    """(ids, scores), each [B, min(k, I)], largest score first, equal scores by id. What may not be listed scores -inf."""
    rows, items = scores_BI.shape
    count = min(k, items)
    least = np.partition(scores_BI, items - count, axis=1)[:, items - count, None]
    chosen = scores_BI > least
    tied = scores_BI == least
    room = count - chosen.sum(axis=1, keepdims=True)
    chosen |= tied & (np.cumsum(tied, axis=1) <= room)
    ids = np.nonzero(chosen)[1].reshape(rows, count)
    values = np.take_along_axis(scores_BI, ids, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(values, order, axis=1)


def nearest(vectors_ID: Scores, items: Ids, k: int, eligible_I: Flags | None = None) -> Iterator[tuple[Ids, Ids, Scores]]:
    """Blocks of `items` as (items [B], ids [B, K], values [B, K]): the items with the largest products of vectors, never the
    item itself, id 0, or one that is not eligible; those score -inf.

    The products are those of float64, rounded: in float32 their last digit would depend on which items stand in one block, and
    a list on how many tasks made it.
    """
    rows = block_rows(len(vectors_ID))
    for start in range(0, len(items), rows):
        some = items[start : start + rows]
        products_BI = _products(vectors_ID[some], vectors_ID)
        products_BI[:, 0] = -np.inf
        if eligible_I is not None:
            products_BI[:, ~eligible_I] = -np.inf
        products_BI[np.arange(len(some)), some] = -np.inf
        yield some, *top_k(products_BI, k)


def _products(some_BD: Scores, vectors_ID: Scores) -> Scores:
    """[B, I]."""
    wide_DB = some_BD.astype(np.float64).T
    result_BI = np.empty((len(some_BD), len(vectors_ID)), dtype=np.float32)
    for first in range(0, len(vectors_ID), CHUNK):
        chunk_ID = vectors_ID[first : first + CHUNK].astype(np.float64)
        result_BI[:, first : first + CHUNK] = (chunk_ID @ wide_DB).T
    return result_BI
