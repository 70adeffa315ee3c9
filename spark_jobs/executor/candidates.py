"""Candidates beside the model's own, inside executors: popular items, new ones, items like the newest of the history.

The model scores them all, and each keeps the names of what proposed it. Shapes: B lists, C candidates, E more candidates.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nightrank.spark_jobs.executor.fallback import Fallback
from nightrank.spark_jobs.executor.rerank import RerankRules, open_side
from nightrank.spark_jobs.executor.topk import nearest

MODEL: Final = "model"
POPULAR: Final = "popular"
FRESH: Final = "fresh"
ITEM_TO_ITEM: Final = "item_to_item"
Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Proposed = dict[int, list[str]]


class Proposer:
    """Of one model and one set of items that may be shown."""

    def __init__(self, rules: RerankRules, fallback: Fallback, rows: int) -> None:
        self.settings, self.session_items, self.fallback = rules.candidates, rules.settings.session_items, fallback
        self.newest_I = newest_first(rules.side, rows)

    def proposed(
        self, segments: list[str], histories: list[Ids], out: list[Ids], vectors: Any, eligible_I: Flags
    ) -> list[Proposed]:
        """By item the names of what proposed it, for each user; nothing of the user's own `out`."""
        newest = [np.unique(items[-self.session_items :].astype(np.int64)) for items in histories]
        like = self._like(newest, vectors, eligible_I) if self.settings.item_to_item else {}
        fresh = self.newest_I[eligible_I[self.newest_I]]
        result: list[Proposed] = []
        for segment, mine, hidden in zip(segments, newest, out, strict=True):
            found: Proposed = {}
            _add(found, POPULAR, self.fallback.pick(segment, hidden, self.settings.popular)[0])
            _add(found, FRESH, _first(fresh, hidden, self.settings.fresh))
            for item in mine.tolist():
                if item in like:
                    _add(found, ITEM_TO_ITEM, _first(like[item], hidden, self.settings.item_to_item))
            result.append(found)
        return result

    def _like(self, newest: list[Ids], vectors: Any, eligible_I: Flags) -> dict[int, Ids]:
        """The nearest items by cosine, of each item that is a newest one of somebody; more of them than are taken."""
        items = np.unique(np.concatenate(newest)) if newest else np.empty(0, np.int64)
        result: dict[int, Ids] = {}
        for some, ids, values in nearest(vectors, items, 2 * self.settings.item_to_item + 50, eligible_I):
            result |= {int(item): row[value > -np.inf] for item, row, value in zip(some, ids, values, strict=True)}
        return result


@lru_cache(maxsize=1)
def newest_first(side: str, rows: int) -> Ids:
    """Items of a known age, the newest in the catalogue first, then those chosen most."""
    known = open_side(side, rows)
    order: Ids = np.lexsort((np.arange(rows), -known.counts_I, known.age_I))
    result: Ids = order[~np.isnan(known.age_I[order])]
    return result


def merged(
    ids_BC: Ids, scores_BC: Scores, proposed: list[Proposed], score: Callable[[Ids], Scores]
) -> tuple[Ids, Scores, list[dict[int, str]]]:
    """The model's candidates, then those that only others proposed with the model's score of them; and by item its sources.

    `score` gives the model's scores [B, E] of items [B, E], 0: no item.
    """
    own = [set(row[row > 0].tolist()) for row in ids_BC]
    more = [[item for item in found if item not in mine] for found, mine in zip(proposed, own, strict=True)]
    ids_BE = np.zeros((len(ids_BC), max(map(len, more), default=0)), dtype=np.int64)
    for row, items in enumerate(more):
        ids_BE[row, : len(items)] = items
    sources = [
        {item: "+".join([MODEL] * (item in mine) + found.get(item, [])) for item in {*mine, *found}}
        for found, mine in zip(proposed, own, strict=True)
    ]
    scores_BE = np.where(ids_BE > 0, score(ids_BE), -np.inf).astype(np.float32)
    return np.concatenate([ids_BC, ids_BE], axis=1), np.concatenate([scores_BC, scores_BE], axis=1), sources


def _add(found: Proposed, name: str, items: Ids) -> None:
    for item in items.tolist():
        names = found.setdefault(item, [])
        if name not in names:
            names.append(name)


def _first(items: Ids, hidden: Ids, count: int) -> Ids:
    head = items[: count + len(hidden)]
    return head[~np.isin(head, hidden)][:count]
