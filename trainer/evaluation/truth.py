"""The simulator's own preferences as a recommender: where a session begins, the ceiling no model can pass but by
luck; inside one, whoever has seen its visits knows more.

p(item | user, day) = weight of the item's category for the user x softmax over that category's available items of
(user style . item style + item bias). `pipeline/simulate/truth.py` states it too (a test compares the two); the layers
forbid importing it from here. Shapes: B rows, I1 = items + 1 by dense id, S style, C categories, K list length.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.feature_store.contracts.storage import Location, local_copy
from nightrank.trainer.data.item_inputs import load_vocabulary
from nightrank.trainer.evaluation.recommenders import Ids
from nightrank.trainer.loop.validation import Queries

Floats = npt.NDArray[np.float64]
EPOCH = date(1970, 1, 1)


def true_probabilities(
    style_BS: Floats, weights_BC: Floats, items_S: Floats, bias: Floats, category: Ids, available: npt.NDArray[np.bool_]
) -> Floats:
    """[B, I] probabilities; items that are not available have 0, and so have categories without weight."""
    logits = style_BS @ items_S.T + bias
    logits = np.where(available, logits, -np.inf)
    result = np.zeros_like(logits)
    for code in np.unique(category[available]) if available.any() else []:
        inside = np.flatnonzero((category == code) & available)
        block = logits[:, inside]
        block = np.exp(block - block.max(axis=1, keepdims=True))
        result[:, inside] = weights_BC[:, code : code + 1] * block / block.sum(axis=1, keepdims=True)
    return result


@dataclass
class TruthRecommender:
    """Ranks by the true probabilities of each row's day. Users without a truth that day get an empty list."""

    root: Location
    items_S: Floats
    bias: Floats
    category: Ids
    """-1 where an item has no truth."""
    available_from: Ids
    """Days since 1970."""
    users: dict[str, int]
    """Dense id by raw id."""
    _days: dict[int, "UsersOfDay"] = field(default_factory=dict)

    def lists(self, query: Queries, days: Ids, k: int) -> Ids:
        result = np.zeros((query.history.rows, k), np.int64)
        for day in np.unique(days).tolist():
            rows = np.flatnonzero(days == day)
            known = self._day(day).rows_of(query.history.users_B.numpy()[rows])
            rows, known = rows[known >= 0], known[known >= 0]
            if len(rows):
                result[rows] = self._ranked(query, day, rows, known, k)
        return result

    def _ranked(self, query: Queries, day: int, rows: Ids, known: Ids, k: int) -> Ids:
        truth = self._day(day)
        available = (self.available_from <= day) & (self.category >= 0)
        scores = true_probabilities(
            truth.style_US[known], truth.weights_UC[known], self.items_S, self.bias, self.category, available
        )
        flat, offsets = (part.numpy() for part in query.excluded)
        for place, row in enumerate(rows.tolist()):
            scores[place, flat[offsets[row] : offsets[row + 1]]] = 0.0
        values, ids = torch.topk(torch.from_numpy(scores), min(k, scores.shape[1]), dim=1)
        lists = np.zeros((len(rows), k), np.int64)
        lists[:, : ids.shape[1]] = np.where(values.numpy() > 0, ids.numpy(), 0)
        return lists

    def _day(self, day: int) -> "UsersOfDay":
        if day not in self._days:
            self._days = {day: _users_of_day(self.root, day, self.users, int(self.category.max(initial=0)) + 1)}
        return self._days[day]


@dataclass(frozen=True)
class UsersOfDay:
    ids: Ids
    """Dense user ids, sorted."""
    style_US: Floats
    weights_UC: Floats

    def rows_of(self, users: Ids) -> Ids:
        """Row of each user, -1 where there is none."""
        if not len(self.ids):
            return np.full(len(users), -1, np.int64)
        place = np.minimum(np.searchsorted(self.ids, users), len(self.ids) - 1)
        return np.where(self.ids[place] == users, place, -1)


def load_truth(snapshot: DatasetSnapshot, root: Location) -> TruthRecommender | None:
    """The simulator's truth about the snapshot's items and users; None where the lake holds none or has no clock."""
    path = Lake(root).truth / "items.parquet"
    if not path.exists() or snapshot.clock != "real":
        return None
    table = pq.read_table(local_copy(path), partitioning=None)
    dense = {raw: place for place, raw in enumerate(load_vocabulary(snapshot, root), 1)}
    ids = np.array([dense.get(str(raw), 0) for raw in table["item_id"].to_pylist()], np.int64)
    style = np.stack(table["style"].to_numpy()).astype(np.float64)
    found = ids > 0
    items_S, bias = np.zeros((snapshot.items + 1, style.shape[1])), np.zeros(snapshot.items + 1)
    category, since = np.full(snapshot.items + 1, -1, np.int64), np.zeros(snapshot.items + 1, np.int64)
    items_S[ids[found]] = style[found]
    bias[ids[found]] = table["bias"].to_numpy()[found]
    category[ids[found]] = table["category"].to_numpy()[found]
    since[ids[found]] = np.array([(day - EPOCH).days for day in table["available_from"].to_pylist()], np.int64)[found]
    users = {raw: place for place, raw in enumerate(load_vocabulary(snapshot, root, "user"), 1)}
    return TruthRecommender(root, items_S, bias, category, since, users)


def _users_of_day(root: Location, day: int, dense: dict[str, int], categories: int) -> UsersOfDay:
    path = Lake(root).truth / "users" / f"day={(EPOCH + timedelta(days=day)).isoformat()}.parquet"
    if not path.exists():
        return UsersOfDay(np.zeros(0, np.int64), np.zeros((0, 1)), np.zeros((0, categories)))
    table = pq.read_table(local_copy(path), partitioning=None)
    ids = np.array([dense.get(str(raw), 0) for raw in table["user_id"].to_pylist()], np.int64)
    style = np.stack(table["style"].to_numpy()).astype(np.float64)
    codes, weights = table["categories"].to_pylist(), table["weights"].to_pylist()
    matrix = np.zeros((len(ids), categories))
    lengths = [len(row) for row in codes]
    columns = np.array([code for row in codes for code in row], np.int64)
    values = np.array([value for row in weights for value in row])
    inside = columns < categories
    matrix[np.repeat(np.arange(len(ids)), lengths)[inside], columns[inside]] = values[inside]
    order = np.argsort(ids, kind="stable")
    order = order[ids[order] > 0]
    return UsersOfDay(ids[order], style[order], matrix[order])
