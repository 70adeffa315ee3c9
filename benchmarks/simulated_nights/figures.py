"""NDCG@10 of lists, by row and with the interval of the mean."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.forgetting.nights import lists_of
from benchmarks.simulated_nights.market import Market
from benchmarks.simulated_nights.rows import Questions
from nightrank.ranker.metrics.ranking import per_row
from nightrank.ranker.model import Ranker
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.evaluation.bootstrap import percentile_interval, resampled_means

K: Final = 10
SAMPLES: Final = 1000
Floats = npt.NDArray[np.float64]


def ndcg_B(config: TrainerConfig, ranker: Ranker, queries: Questions) -> Floats:
    return _ndcg(lists_of(config, ranker, queries.history, K), queries)


def truth_B(market: Market, day: int, queries: Questions, last_item: int, rows: int = 1024) -> Floats:
    """Of the lists by the preferences that the visits were drawn from, over the same items."""
    parts = []
    for first in range(0, len(queries.users), rows):
        scores = market.preferences(day, queries.users[first : first + rows])[:, : last_item + 1]
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        parts.append(np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable"), 1))
    return _ndcg(np.concatenate(parts), queries)


def mean(values_B: Floats) -> dict[str, Any]:
    low, high = percentile_interval(resampled_means(values_B[:, None], 1, SAMPLES)[:, 0], 0.95)
    return {"value": float(values_B.mean()), "ci": [low, high], "n": len(values_B)}


def difference(ours_B: Floats, theirs_B: Floats) -> dict[str, Any]:
    """Of the same rows, in pairs."""
    return mean(ours_B - theirs_B)


def _ndcg(lists_BK: npt.NDArray[Any], queries: Questions) -> Floats:
    found: Floats = per_row(lists_BK, queries.targets, queries.offsets, (K,))[f"ndcg@{K}"]
    return found
