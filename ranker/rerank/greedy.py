"""Lists that are built one place at a time: for every list at once the candidate of the largest gain comes next."""

from typing import Protocol

import numpy as np

from nightrank.ranker.rerank.lists import Floats, Ids, Lists, reordered

_ABSENT = -1e300
"""Gain of a place without an item: below every candidate, above what was taken."""


class Objective(Protocol):
    """What a list is chosen for. `gain` is [B, C], `take` is told which place of each row was chosen."""

    def gain(self) -> Floats: ...

    def take(self, chosen_B: Ids) -> None: ...


def greedy(lists: Lists, k: int, objective: Objective) -> Lists:
    """The k items of the largest gains in the order of choice, then the others in their order. Of equal gains the item that
    stood first is chosen."""
    rows, width = lists.ids_BC.shape
    taken = np.zeros((rows, width), dtype=bool)
    chosen: list[Ids] = []
    row = np.arange(rows)
    for _ in range(min(k, width)):
        gain = np.where(lists.present_BC, objective.gain(), _ABSENT)
        place = np.where(taken, -np.inf, gain).argmax(axis=1)
        taken[row, place] = True
        chosen.append(place)
        objective.take(place)
    if not chosen:
        return lists
    rest = np.argsort(taken, axis=1, kind="stable")[:, : width - len(chosen)]
    return reordered(lists, np.concatenate([np.stack(chosen, axis=1), rest], axis=1))
