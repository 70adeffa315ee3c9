"""Floors per slice: no group of users or items pays for a better average.

Shapes: N rows, I1 = items + 1.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from nightrank.ranker.metrics.ranking import paired_delta
from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.config.limits import GateLimits
from nightrank.trainer.evaluation.limits.finding import Finding, not_judged
from nightrank.trainer.evaluation.recommenders import Ids

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def slices_of(history_N: Ids, target_N: Ids, events_I1: Ids, limits: GateLimits) -> dict[str, Flags]:
    """[N] whether a row is in each slice. Every row is in exactly one of head, tail and new items."""
    chosen = events_I1[np.minimum(target_N, len(events_I1) - 1)] if len(target_N) else np.zeros(0, np.int64)
    new = chosen <= limits.new_item_events
    head = ~new & (chosen >= _head_from(events_I1, limits.head_share))
    return {
        "new_users": history_N <= limits.new_user_events,
        "heavy_users": history_N >= limits.heavy_user_events,
        "new_items": new,
        "head_items": head,
        "tail_items": ~new & ~head,
    }


def _head_from(events_I1: Ids, share: float) -> int:
    """Events that the least frequent of the head items has."""
    known = np.sort(events_I1[1:][events_I1[1:] > 0])[::-1]
    return int(known[max(1, round(share * len(known))) - 1]) if len(known) else 1


def floors(ours_N: Floats, theirs_N: Floats, slices: Mapping[str, Flags], config: GateConfig, seed: int) -> Iterator[Finding]:
    """One finding for each slice. Failed where it is worse by more than the floor, and its interval lies below 0."""
    floor = config.limits.slice_floor
    for name, inside_N in slices.items() if floor is not None else ():
        assert floor is not None
        limit, n = f"slice_floor:{name}", int(inside_N.sum())
        if n < config.limits.rows:
            yield not_judged(limit, n, f"{n} rows of {_plain(name)}, {config.limits.rows} are needed", -floor)
            continue
        ours, theirs = ours_N[inside_N], theirs_N[inside_N]
        delta, low, high = paired_delta(ours, theirs, seed, config.samples, config.level)
        least = -floor * float(np.mean(theirs))
        sentence = (
            f"NDCG@10 of {_plain(name)} {np.mean(ours):.4f} against {np.mean(theirs):.4f}: delta {delta:+.4f}, interval "
            f"{low:+.4f} to {high:+.4f}, at least {least:+.4f}"
        )
        yield Finding(limit, delta, least, n, "failed" if high < 0 and delta < least else "passed", sentence)


def _plain(name: str) -> str:
    return name.replace("_", " ")
