"""Which rule moved an item of a list, from which place to which.

Shapes: B lists, C candidates.
"""

from typing import NamedTuple

import numpy as np

from nightrank.ranker.rerank.lists import Ids, Lists


class Moves(NamedTuple):
    """One entry for each item of `after` whose place is another one; places begin at 1. `moved_from` 0: it was not there."""

    row: Ids
    item: Ids
    moved_from: Ids
    moved_to: Ids


def moves(before: Lists, after: Lists) -> Moves:
    """What a rule moved beyond closing up: an item that only moved because items before it were removed is not named."""
    place_BC = places_of(after.ids_BC, _still_there(before, after))
    now = np.broadcast_to(np.arange(1, after.ids_BC.shape[1] + 1), place_BC.shape)
    row, column = np.nonzero(after.present_BC & (place_BC != now))
    was = places_of(after.ids_BC, before.ids_BC)
    return Moves(row, after.ids_BC[row, column], was[row, column], now[row, column])


def places_of(wanted_BC: Ids, listed_BC: Ids) -> Ids:
    """The place from 1 at which each wanted item stands in the same row of the other lists; 0 where it does not."""
    span = 1 + max(int(wanted_BC.max(initial=0)), int(listed_BC.max(initial=0)))
    rows = np.arange(len(wanted_BC), dtype=np.int64)[:, None] * span
    keys, wanted = (rows + listed_BC).ravel(), rows + wanted_BC
    if not keys.size:
        return np.zeros(wanted_BC.shape, dtype=np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys[order], wanted), keys.size - 1)
    found = (keys[order[at]] == wanted) & (wanted_BC > 0)
    return np.where(found, order[at] % listed_BC.shape[1] + 1, 0)


def _still_there(before: Lists, after: Lists) -> Ids:
    """The ids of `before` without those that `after` lacks, closed up."""
    stays = places_of(before.ids_BC, after.ids_BC) > 0
    order = np.argsort(~stays, axis=1, kind="stable")
    return np.where(np.take_along_axis(stays, order, axis=1), np.take_along_axis(before.ids_BC, order, axis=1), 0)
