"""Percentile bootstrap of many columns at once: the resampling of `ranking.interval`, drawn once for all of them.

Shapes: N rows, M columns, S resamples.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DRAWS: Final = 4_000_000
"""Row numbers drawn at a time; bounds the memory of a chunk of resamples at about 50 MB."""


def resampled_means(values_NM: Floats, seed: int, samples: int) -> Floats:
    """[S, M] means over N rows drawn with replacement; all columns of a resample see the same rows, so the difference of two
    columns is their paired difference."""
    rows = len(values_NM)
    random = np.random.default_rng(seed)
    chunk = max(1, DRAWS // max(rows, 1))
    means = np.empty((samples, values_NM.shape[1]))
    for first in range(0, samples, chunk):
        count = min(chunk, samples - first)
        drawn = random.integers(0, rows, (count, rows), dtype=np.int64)
        drawn += np.arange(count, dtype=np.int64)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows)
        means[first : first + count] = weights.astype(np.float64) @ values_NM / rows
    return means


def percentile_interval(means_S: Floats, level: float) -> tuple[float, float]:
    """(low, high) that hold the middle `level` of the resampled means."""
    tail = (1 - level) / 2
    low, high = np.quantile(means_S, [tail, 1 - tail])
    return float(low), float(high)
