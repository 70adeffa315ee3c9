"""Lists that a shop's rules made too short are filled with popular items that pass the same rules.

Shapes: B lists, K places.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nightrank.spark_jobs.executor.fallback import Fallback
from nightrank.spark_jobs.executor.shop_rules import Cap, within_caps

Ids = npt.NDArray[np.int64]
Counts = npt.NDArray[np.float32]
TIMES: Final = 20
"""So many times the places are looked at first, before the whole catalogue is."""


def capped_fallback(fallback: Fallback, segment: str, out: Ids, caps: tuple[Cap, ...], k: int) -> tuple[Ids, Counts]:
    """The segment's popular items within the caps, and how often it chose them; shorter than k only where nothing is left."""
    for depth in (TIMES * k, len(fallback.items[""])):
        ids, counts = fallback.pick(segment, out, depth if caps else k)
        lists, _ = within_caps(_one(ids), caps)
        kept = lists.ids_BC[0][lists.ids_BC[0] > 0][:k]
        if len(kept) == k or not caps:
            break
    by_item = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    return kept, np.array([by_item[item] for item in kept.tolist()], dtype=np.float32)


def filled_up(ids_K: Ids, popular: Ids, out: Ids, caps: tuple[Cap, ...], k: int) -> tuple[Ids, Ids]:
    """One list of up to k items: those there are, then popular ones that are not the user's own `out`; and which those are."""
    from nightrank.ranker.rerank.filled import filled
    from nightrank.ranker.rerank.lists import cut

    head = ids_K[ids_K > 0]
    for depth in (TIMES * k + len(out), len(popular)):
        whole = filled(_one(head), popular[:depth], out[None, :], k + depth).lists
        listed = cut(within_caps(whole, caps)[0], k).ids_BC[0]
        if (listed > 0).sum() == k:
            break
    listed = listed[listed > 0]
    return listed, np.setdiff1d(listed, head)


def _one(ids: Ids) -> Any:
    from nightrank.ranker.rerank.lists import Lists

    return Lists(ids[None, :], np.zeros((1, len(ids))))
