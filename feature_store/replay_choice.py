"""Which past labels are replayed, given their priorities: pure numpy, for what has all of them in memory.

`transforms.replay` chooses the same in Spark. Priorities and draws are uniform in [0, 1).
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

Choice = Literal["reservoir", "exemplars"]
Draws = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def reservoir(priorities: Draws, events: int) -> Flags:
    """About `events` labels, each as likely as any other."""
    chosen: Flags = priorities < events / max(len(priorities), 1)
    return chosen


def exemplars(items: Ids, priorities: Draws, item_draws: Draws, events: int) -> Flags:
    """About `events` labels: of each item its quota, the lowest priorities. `items` [labels] index `item_draws`."""
    quotas = quota(np.bincount(items, minlength=len(item_draws)), item_draws, events)
    order = np.lexsort((priorities, items))
    starts = np.searchsorted(items[order], np.arange(len(item_draws)))
    place = np.arange(len(items)) - starts[items[order]]
    chosen = np.zeros(len(items), dtype=bool)
    chosen[order] = place < quotas[items[order]]
    return chosen


def quota(counts: Ids, item_draws: Draws, events: int) -> Ids:
    """Labels of each item: events * count / all, rounded up where the draw is above 1 less what is over."""
    share = events / max(int(counts.sum()), 1) * counts
    labels: Ids = np.floor(share + item_draws).astype(np.int64)
    return labels
