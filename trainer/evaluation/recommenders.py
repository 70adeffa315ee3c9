"""Recommenders: a bundle, or a table of lists made elsewhere. All have the same interface.

Shapes: B rows, K list length, L length of a stored list.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import Bundle
from nightrank.ranker.features import FeatureTables
from nightrank.trainer.data.features import load_features
from nightrank.trainer.loop.validation import Queries

Ids = npt.NDArray[np.int64]
Stored = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float64]


class Recommender(Protocol):
    def lists(self, query: Queries, days: Ids, k: int) -> Ids:
        """[B, k] item ids, best first, without the query's excluded items; 0 where there are no more. `days` holds the day
        since 1970 that each row's list is for."""
        ...


class ScoredRecommender(Protocol):
    def on(self, snapshot: DatasetSnapshot, root: Location) -> "ScoredRecommender":
        """The recommender with what it reads of the snapshot."""
        ...

    def scored(self, query: Queries, days: Ids, k: int) -> tuple[Ids, Scores]:
        """Lists as those of a `Recommender`, with their scores; -inf where there is none."""
        ...


@dataclass(frozen=True)
class BundleRecommender:
    """Exact top-k of a bundle over its own catalogue. Ids it has not seen are left out of histories; a history left without an
    item gets the most popular ones, as in scoring."""

    bundle: Bundle
    tables: FeatureTables | None = None
    """What its histories are filled from; `on` gives it those of a snapshot."""

    def on(self, snapshot: DatasetSnapshot, root: Location) -> "BundleRecommender":
        """The recommender with the features that its own ranker reads, whichever the snapshot's does."""
        return replace(self, tables=load_features(snapshot, root, self.bundle.info.features))

    def lists(self, query: Queries, days: Ids, k: int) -> Ids:
        return self.scored(query, days, k)[0]

    def scored(self, query: Queries, days: Ids, k: int) -> tuple[Ids, Scores]:
        """The lists with their scores. A list of the most popular items has none."""
        history = query.history.keep(query.history.items_T <= self.bundle.info.items)
        history = history if self.tables is None else self.tables.fill(history)
        ids_BK, scores_BK = self.bundle.best(history, k, query.excluded)
        result: Ids = ids_BK.numpy()
        scores: Scores = scores_BK.double().numpy()
        empty = np.flatnonzero(history.lengths.numpy() == 0)
        if len(empty):
            popular = np.broadcast_to(self.bundle.popular.numpy(), (len(empty), len(self.bundle.popular)))
            flat, offsets = rows_of_ragged(query.excluded, empty)
            result[empty] = without(popular, flat, offsets, k)
            scores[empty] = -np.inf
        return result, scores


@dataclass(frozen=True)
class ListRecommender:
    """Lists by user from a table. A user without a list gets an empty one and misses everything."""

    users: Ids
    """Sorted."""
    stored: Stored
    """[users, L], 0 fills up."""

    def lists(self, query: Queries, days: Ids, k: int) -> Ids:
        users = query.history.users_B.numpy()
        rows = np.zeros((len(users), max(self.stored.shape[1], 1)), np.int64)
        if len(self.users):
            place = np.minimum(np.searchsorted(self.users, users), len(self.users) - 1)
            found = self.users[place] == users
            rows[found] = self.stored[place[found]]
        return without(rows, query.excluded[0].numpy(), query.excluded[1].numpy(), k)


def without(lists_BL: Ids, excluded: Ids, offsets: Ids, k: int) -> Ids:
    """[B, k]: the lists less each row's excluded items, order kept, 0 at the end."""
    rows = np.arange(len(lists_BL), dtype=np.int64)
    span = 1 + max(int(lists_BL.max(initial=0)), int(excluded.max(initial=0)))
    banned = np.repeat(rows, np.diff(offsets)) * span + excluded
    kept = np.where(np.isin(rows[:, None] * span + lists_BL, banned), 0, lists_BL)
    order = np.argsort(kept == 0, axis=1, kind="stable")
    front = np.take_along_axis(kept, order, axis=1)[:, :k]
    result: Ids = np.zeros((len(lists_BL), k), np.int64)
    result[:, : front.shape[1]] = front
    return result


def rows_of_ragged(ragged: tuple[Tensor, Tensor], rows: Ids) -> tuple[Ids, Ids]:
    """(flat, offsets) of the named rows alone."""
    flat, offsets = ragged[0].numpy(), ragged[1].numpy()
    lengths = np.diff(offsets)[rows]
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    index = np.arange(bounds[-1]) + np.repeat(offsets[:-1][rows] - bounds[:-1], lengths)
    return flat[index], bounds


def days_of(batch: Batch, kept_B: Tensor) -> Ids:
    """Day since 1970 (UTC) of the first target of the batch's kept rows, in order. A user may have several."""
    first_B = batch.offsets_B1[:-1] + batch.loss_from_B
    times = batch.times_T[first_B][kept_B]
    result: Ids = torch.div(times, 86_400_000_000, rounding_mode="floor").numpy()
    return result
