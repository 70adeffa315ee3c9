"""Rows of a market's days: what a full training reads, what a night reads and replays, and what is asked of a day."""

from dataclasses import dataclass

import numpy as np

from benchmarks.forgetting.nights import Replay
from benchmarks.forgetting.periods import Ids, rows_of
from benchmarks.simulated_nights.market import Market
from nightrank.feature_store.replay_choice import exemplars, reservoir
from nightrank.ranker.batch import Batch
from nightrank.trainer.data.collate import batch_of
from nightrank.trainer.data.rows import Rows, offsets_of, token_index


@dataclass(frozen=True)
class Questions:
    """Histories that end before a day, and what was looked at on it."""

    users: Ids
    history: Batch
    targets: Ids
    offsets: Ids


def full_rows(market: Market, day: int, longest: int) -> Rows:
    """Everything by the end of the day; each visit but a user's first is one row's label. Chunks share one visit."""
    counts, first = market.counts(day), market.offsets_U1[:-1]
    chunks = np.maximum(-(-(counts - 1) // longest), 0)
    user = np.repeat(np.arange(len(counts)), chunks)
    back = np.arange(len(user)) - np.repeat(offsets_of(chunks)[:-1], chunks)
    end = first[user] + counts[user] - back * longest
    start = np.maximum(end - longest - 1, first[user])
    return rows_of(market.item_E, user, start, end - start, np.ones(len(user), np.int64))


def night_rows(market: Market, day: int, longest: int) -> Rows:
    """The newest visits of whoever came by; those of the day are labels."""
    before, counts, first = market.counts(day - 1), market.counts(day), market.offsets_U1[:-1]
    length = np.minimum(counts, longest + 1)
    label = np.maximum(length - (counts - before), 1)
    user = np.flatnonzero((counts > before) & (label < length))
    start = first[user] + counts[user] - length[user]
    return rows_of(market.item_E, user, start, length[user], label[user])


def replayed_rows(market: Market, day: int, choice: Replay, events: int, longest: int, seed: int) -> Rows:
    """About `events` labels of days before, of users who did not come by: single visits, or with `uniform` the newest visits of
    some users."""
    before, counts, first = market.counts(day - 1), market.counts(day), market.offsets_U1[:-1]
    idle = (counts == before) & (before > 1)
    user_E = np.repeat(np.arange(len(counts)), np.diff(market.offsets_U1))
    place_E = np.arange(len(user_E)) - first[user_E]
    label_E = idle[user_E] & (place_E > 0) & (market.day_E < day)
    if choice == "uniform":
        length = np.minimum(before, longest + 1)
        labels = int((length - 1)[idle].sum())
        drawn = np.random.default_rng([seed, day]).random(len(counts)) < events / max(labels, 1)
        user = np.flatnonzero(idle & drawn)
        return rows_of(
            market.item_E, user, first[user] + before[user] - length[user], length[user], np.ones(len(user), np.int64)
        )
    # By place in the whole log: a visit has the same draw every night.
    priorities = np.random.default_rng([seed, 1]).random(len(user_E))[label_E]
    if choice == "reservoir":
        chosen = reservoir(priorities, events)
    else:
        of_items = np.random.default_rng([seed, 2]).random(int(market.item_E.max()) + 1)
        chosen = exemplars(market.item_E[label_E], priorities, of_items, events)
    at = np.flatnonzero(label_E)[chosen]
    length = np.minimum(place_E[at], longest) + 1
    return rows_of(market.item_E, user_E[at], at - length + 1, length, length - 1)


def questions(market: Market, day: int, longest: int, *, first_item: int = 1, last_item: int) -> Questions:
    """Of each user with a history, what he looked at on the day among the items from `first_item` to `last_item`."""
    before, first = market.counts(day - 1), market.offsets_U1[:-1]
    user_E = np.repeat(np.arange(len(before)), np.diff(market.offsets_U1))
    wanted = (market.day_E == day) & (before[user_E] > 0) & (market.item_E >= first_item) & (market.item_E <= last_item)
    users, of_user = np.unique(user_E[wanted], return_counts=True)
    length = np.minimum(before[users], longest)
    start = first[users] + before[users] - length
    places, offsets = token_index(start, length), offsets_of(length)
    # A row has a label: the last visit stands for it, and is cut away.
    rows = rows_of(np.append(market.item_E, 1), users, start, length + 1, length)
    history = batch_of(rows).cut_at()
    assert (history.items_T.numpy() == market.item_E[places]).all() and history.rows == len(offsets) - 1
    return Questions(users, history, market.item_E[wanted], offsets_of(of_user))
