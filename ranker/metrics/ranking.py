"""The one definition of every ranking metric: numpy, per row, reduced at the end.

Shapes: B rows, K list length, best first, id 0 = no item. A row's targets are a set: an id given twice counts once.
Formulas, for a row with target set S and hits h_j = [list_j in S], j = 1..k:
  recall@k   = sum h_j / |S|                        hit_rate@k = [sum h_j > 0]
  mrr@k      = 1 / (first j with h_j), 0 without a hit
  ndcg@k     = sum h_j / log2(j + 1)  over  sum_{j <= min(k, |S|)} 1 / log2(j + 1)
  map@k      = sum h_j (hits up to j) / j  over  min(k, |S|)
torchmetrics agrees on recall, ndcg, mrr and hit rate; its average precision divides by the hits found within k instead, so
the two agree only where the list holds every target. It also takes items scored 0 or less as not listed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nightrank.feature_store.contracts.errors import DataContractError

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]


def per_row(
    ids_BK: Integers, targets_flat: Integers, targets_offsets: Integers, ks: Sequence[int] = (10, 20)
) -> dict[str, Floats]:
    """`name@k` -> [B] in [0, 1]. DataContractError for a row without a target: the caller drops and counts those.

    A list shorter than k is taken as filled up with misses.
    """
    hits_BK, targets_B = hits(ids_BK, targets_flat, targets_offsets)
    width = max(ks)
    padded = np.zeros((len(hits_BK), width), dtype=np.float64)
    padded[:, : min(width, hits_BK.shape[1])] = hits_BK[:, :width]
    result: dict[str, Floats] = {}
    for k in ks:
        result |= {f"{name}@{k}": values for name, values in _at(padded[:, :k], targets_B, k).items()}
    return result


def hits(ids_BK: Integers, targets_flat: Integers, targets_offsets: Integers) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(is the listed item a target [B, K], number of distinct targets [B]). An item listed twice hits once."""
    if len(targets_offsets) != len(ids_BK) + 1 or targets_offsets[-1] - targets_offsets[0] != len(targets_flat):
        raise DataContractError(
            f"{len(ids_BK)} lists came with {len(targets_offsets) - 1} target rows of {len(targets_flat)} targets",
            "pass one target row per list",
        )
    rows = np.repeat(np.arange(len(ids_BK), dtype=np.int64), np.diff(targets_offsets))
    span = 1 + max(int(ids_BK.max(initial=0)), int(targets_flat.max(initial=0)))
    wanted = np.unique(rows * span + targets_flat.astype(np.int64))
    targets_B = np.bincount(wanted // span, minlength=len(ids_BK)).astype(np.int64)
    if (targets_B == 0).any():
        raise DataContractError(f"{int((targets_B == 0).sum())} rows have no target", "drop and count them before measuring")
    keys_BK = np.arange(len(ids_BK), dtype=np.int64)[:, None] * span + ids_BK.astype(np.int64)
    found_BK = np.isin(keys_BK, wanted) & (ids_BK > 0)
    return found_BK & _first_time(ids_BK), targets_B


def _first_time(ids_BK: Integers) -> NDArray[np.bool_]:
    """False where the same id stands earlier in its row."""
    order = np.argsort(ids_BK, axis=1, kind="stable")
    ordered = np.take_along_axis(ids_BK, order, axis=1)
    first = np.ones(ids_BK.shape, dtype=np.bool_)
    np.put_along_axis(first[:, :], order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    return first


def _at(hits_Bk: Floats, targets_B: NDArray[np.int64], k: int) -> dict[str, Floats]:
    place = np.arange(1, k + 1, dtype=np.float64)
    discount = 1 / np.log2(place + 1)
    reachable_B = np.minimum(targets_B, k)
    found_B = hits_Bk.sum(axis=1)
    first_B = np.argmax(hits_Bk > 0, axis=1)
    precision = (np.cumsum(hits_Bk, axis=1) / place * hits_Bk).sum(axis=1)
    return {
        "recall": found_B / targets_B,
        "ndcg": (hits_Bk @ discount) / np.cumsum(discount)[reachable_B - 1],
        "mrr": np.where(found_B > 0, 1 / (first_B + 1.0), 0.0),
        "map": precision / reachable_B,
        "hit_rate": (found_B > 0).astype(np.float64),
    }


def novelty(ids_BK: Integers, popularity: Integers | Floats) -> Floats:
    """[B] mean self-information in bits of each list: -log2 of the item's share of all interactions.

    `popularity[id]` counts interactions; an item never seen counts as one. A row without an item is 0.
    """
    counts = np.maximum(np.asarray(popularity, dtype=np.float64), 1.0)
    bits = -np.log2(counts / max(float(np.asarray(popularity, dtype=np.float64).sum()), 1.0))
    listed = ids_BK > 0
    total = np.where(listed, bits[ids_BK], 0.0).sum(axis=1)
    result: Floats = total / np.maximum(listed.sum(axis=1), 1)
    return result


def interval(values: Floats, seed: int, samples: int = 1000, level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high): percentile bootstrap of the mean over rows. All NaN for no row."""
    if len(values) == 0:
        return float("nan"), float("nan"), float("nan")
    means = _resampled_means(np.asarray(values, dtype=np.float64), np.random.default_rng(seed), samples)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(np.mean(values)), float(low), float(high)


def paired_delta(a: Floats, b: Floats, seed: int, samples: int = 1000, level: float = 0.95) -> tuple[float, float, float]:
    """(mean of a - b, low, high) over the same rows, resampled in pairs. Above 0 means `a` is better."""
    if len(a) != len(b):
        raise DataContractError(f"paired rows are {len(a)} and {len(b)}", "measure both on the same rows")
    return interval(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), seed, samples, level)


def _resampled_means(values: Floats, random: np.random.Generator, samples: int) -> Floats:
    """Means of `samples` resamples with replacement. Few distinct values need only their counts: one multinomial each."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= 256:
        drawn = random.multinomial(len(values), counts / len(values), size=samples)
        means: Floats = drawn @ distinct / len(values)
        return means
    return np.array([values[random.integers(0, len(values), len(values))].mean() for _ in range(samples)])
