"""Histories of raw ids, as a server is given them, into a batch as the ranker was trained on.

Shapes: B histories, T events of items that the bundle knows.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from nightrank.feature_store.as_of import Cumulative, from_events
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.batch import Batch
from nightrank.ranker.features import AttributeCodes, FeatureTables, coded


class History(NamedTuple):
    """One user's events, oldest first. `times` are microseconds since the epoch, `actions` names; without them a ranker that
    reads features knows nothing of when, and takes every event for the bundle's default action."""

    items: Sequence[str | int]
    times: Sequence[int] | None = None
    actions: Sequence[str] | None = None
    attributes: Mapping[str, str] | None = None
    """Attributes of the user, taken as known all along."""


def batch_of_histories(
    histories: Sequence[History],
    dense_ids: Mapping[str, int],
    default_action: int,
    features: Features | None,
    sums: Cumulative | None,
) -> Batch:
    """Events of unknown items are left out of the rows; a user's aggregates count them all the same. `sums` are the items'."""
    _check(histories)
    times = [[*(history.times or [0] * len(history.items))] for history in histories]
    actions = [_codes(history, default_action) for history in histories]
    dense = [[dense_ids.get(str(raw), 0) for raw in history.items] for history in histories]
    kept = [[place for place, item in enumerate(row) if item] for row in dense]
    batch = Batch.from_lists(_at(dense, kept), actions=_at(actions, kept), times=_at(times, kept))
    if features is None:
        return batch
    users_B = torch.arange(1, len(histories) + 1)
    tables = FeatureTables(features, _user_sums(features, actions, times), sums, _attributes(features, histories))
    filled = tables.fill(Batch(**{**vars(batch), "users_B": users_B}))
    return Batch(**{**vars(filled), "users_B": batch.users_B})


def _at(rows: list[list[int]], places: list[list[int]]) -> list[list[int]]:
    return [[row[place] for place in of_row] for row, of_row in zip(rows, places, strict=True)]


def _codes(history: History, default_action: int) -> list[int]:
    if history.actions is None:
        return [default_action] * len(history.items)
    return [ACTION_CODES.get(name, ACTION_CODES["other"]) for name in history.actions]


def _user_sums(features: Features, actions: list[list[int]], times: list[list[int]]) -> Cumulative | None:
    """Of histories 1..B, of the events whose time is known."""
    if not features.user:
        return None
    owner = np.repeat(np.arange(1, len(times) + 1), [len(row) for row in times])
    flat_times, codes = (np.array([value for row in rows for value in row], np.int64) for rows in (times, actions))
    timed = flat_times > 0
    moments = flat_times[timed]
    return from_events(owner[timed], codes[timed], moments, moments, counters_of(features.user), features.timezone)


def _attributes(features: Features, histories: Sequence[History]) -> AttributeCodes | None:
    if not features.attributes:
        return None
    codes = coded(features, [dict(history.attributes or {}) for history in histories])
    return AttributeCodes(np.arange(1, len(histories) + 1), codes, np.zeros(len(histories), np.int64))


def _check(histories: Sequence[History]) -> None:
    for row, history in enumerate(histories):
        for name, values in (("times", history.times), ("actions", history.actions)):
            if values is not None and len(values) != len(history.items):
                raise DataContractError(
                    f"row {row}: {len(values)} {name} for a history of {len(history.items)} items",
                    f"give {name} for every item, or not at all",
                )
