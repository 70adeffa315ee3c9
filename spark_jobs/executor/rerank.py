"""The model's candidates re-ranked inside executors: what the rules know of items is opened once per Python worker.

Shapes: B users, C candidates, K places, I1 = items + 1 (id 0: no item), D width of the item vectors.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.rerank_settings import CandidateSettings, RerankSettings
from nightrank.feature_store.contracts.storage import local_folder, locate

AGE: Final = "age_days"
REASONS: Final = {
    "popularity": ("is less popular", "is more popular"),
    "freshness": ("is newer", "is older"),
    "session": ("is like the newest actions", "is less like the newest actions"),
    "calibration": ("the user's mix lacked its category", "its category had its share"),
    "diversity": ("is unlike the items above", "is like an item above"),
    "volume": ("adds to the list as a whole", "adds less to the list as a whole"),
    "new items": ("is new and has a reserved place", "a new item has its place"),
}
"""Why a rule moved an item up, and down."""
Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


class RerankRules(NamedTuple):
    """`side` is a folder with one row an item: `item`, `category` (from 1, 0: none), `age_days`, `count`."""

    settings: RerankSettings
    side: str
    candidates: CandidateSettings = CandidateSettings()


class ItemSide(NamedTuple):
    """By item id; row 0 is no item."""

    category_I: Ids
    categories: int
    age_I: npt.NDArray[np.float64]
    counts_I: Ids


@lru_cache(maxsize=1)
def open_side(folder: str, rows: int) -> ItemSide:
    """What is known of the items 0..rows - 1; an item without a row has no category, no age and no count."""
    table = pq.read_table(local_folder(locate(folder)))
    table = table.filter(np.array(table[c.ITEM].to_numpy() < rows))
    at = table[c.ITEM].to_numpy()
    category_I, counts_I = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    age_I = np.full(rows, np.nan)
    category_I[at], counts_I[at], age_I[at] = (table[name].to_numpy() for name in (c.CATEGORY, c.COUNT, AGE))
    return ItemSide(category_I, int(category_I.max(initial=0)) + 1, age_I, counts_I)


_VECTORS: dict[int, Any] = {}


def unit_vectors_of(matrix_ID: Any) -> Any:
    """Of the matrix that was given last: one per worker."""
    from nightrank.ranker.rerank.vectors import unit_vectors

    key = matrix_ID.data_ptr()
    if key not in _VECTORS:
        _VECTORS.clear()
        _VECTORS[key] = unit_vectors(matrix_ID.float().numpy())
    return _VECTORS[key]


def reranked(
    ids_BC: Ids,
    scores_BC: Scores,
    histories: list[npt.NDArray[np.int32]],
    matrix_ID: Any,
    rules: RerankRules,
    k: int,
    places: int,
) -> tuple[Ids, Scores, list[dict[int, str]]]:
    """(ids [B, K], the model's scores [B, K], per user the texts of what was moved by item). Rules fill the first k places; K
    is `places`, and what no rule chose follows in its order."""
    from nightrank.ranker.rerank.lists import cut, started
    from nightrank.ranker.rerank.moves import moves, places_of

    side = open_side(rules.side, len(matrix_ID))
    lists = started(ids_BC, scores_BC)
    told: list[tuple[str, Any]] = []
    for name, rule in _steps(rules.settings, side, histories, matrix_ID, k):
        before, lists = lists, rule(lists)
        told.append((name, moves(before, lists)))
    ids_BK = cut(lists, places).ids_BC
    place_BK = np.maximum(places_of(ids_BK, ids_BC) - 1, 0)
    moved: list[dict[int, str]] = [{} for _ in ids_BK]
    for name, found in told:
        final = places_of(_column(found.item), ids_BK[found.row])[:, 0] > 0
        rows = zip(*(values[final].tolist() for values in found), strict=True)
        for row, item, old, new in rows:
            text = f"{name} {old}>{new}: {REASONS[name][int(new > old)]}"
            moved[row][item] = f"{moved[row][item]}; {text}" if item in moved[row] else text
    return ids_BK, np.take_along_axis(scores_BC, place_BK, axis=1), moved


def _column(values: Ids) -> Ids:
    return values[:, None]


def _steps(
    settings: RerankSettings, side: ItemSide, histories: list[npt.NDArray[np.int32]], matrix_ID: Any, k: int
) -> list[tuple[str, Callable[[Any], Any]]]:
    """The rules that have a weight, in the order in which they are applied."""
    from nightrank.ranker.rerank.calibration import calibrated, shares
    from nightrank.ranker.rerank.dpp import dpp
    from nightrank.ranker.rerank.exposure import with_new_items
    from nightrank.ranker.rerank.freshness import fresher, freshness_of
    from nightrank.ranker.rerank.mmr import mmr
    from nightrank.ranker.rerank.popularity import less_popular, popularity_of
    from nightrank.ranker.rerank.session import nearer_session

    steps: list[tuple[str, Callable[[Any], Any]]] = []
    if settings.popularity:
        rule = partial(less_popular, popularity_I=popularity_of(side.counts_I), weight=settings.popularity)
        steps.append(("popularity", rule))
    if settings.freshness:
        fresh_I = freshness_of(side.age_I, settings.half_life_days)
        steps.append(("freshness", partial(fresher, freshness_I=fresh_I, weight=settings.freshness)))
    if settings.session:
        newest_BR = _padded([items[-settings.session_items :] for items in histories])
        vectors = unit_vectors_of(matrix_ID)
        steps.append(("session", partial(nearer_session, vectors_ID=vectors, newest_BR=newest_BR, weight=settings.session)))
    if settings.calibration:
        mix_BG = shares(_padded(histories), side.category_I, side.categories)
        rule = partial(calibrated, category_I=side.category_I, shares_BG=mix_BG, k=k, weight=settings.calibration)
        steps.append(("calibration", rule))
    for name, chosen, weight in (("diversity", mmr, settings.diversity), ("volume", dpp, settings.volume)):
        if weight:
            steps.append((name, partial(chosen, vectors_ID=unit_vectors_of(matrix_ID), k=k, weight=weight)))
    if settings.new_share:
        new_I = np.nan_to_num(side.age_I, nan=np.inf) < settings.new_days
        steps.append(("new items", partial(with_new_items, new_I=new_I, k=k, share=settings.new_share)))
    return steps


def _padded(rows: list[npt.NDArray[np.int32]]) -> Ids:
    """[B, longest] with 0 after the end."""
    result = np.zeros((len(rows), max((len(row) for row in rows), default=0)), dtype=np.int64)
    for place, row in enumerate(rows):
        result[place, : len(row)] = row
    return result
