"""What the users of a simulated market truly prefer: the one formula, and its files.

p(item | user, day) = the user's weight of the item's category that day
                      x softmax over the category's items available that day of (style_user . style_item + bias).

The simulator draws the first item of every session from it, so ranking by it is the ceiling for any model.
Shapes: U users, I items, K categories a user cares for, S style directions.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location, local_copy

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]

ITEM_SCHEMA: Final = pa.schema(
    [
        ("item_id", pa.string()),
        ("category", pa.int32()),
        ("style", pa.list_(pa.float32())),
        ("bias", pa.float32()),
        ("available_from", pa.date32()),
    ]
)
USER_SCHEMA: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("categories", pa.list_(pa.int32())),
        ("weights", pa.list_(pa.float32())),
        ("style", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class TruthItems:
    item_id: npt.NDArray[Any]
    category_I: Ints
    style_IS: Floats
    bias_I: Floats
    available_from_I: npt.NDArray[np.datetime64]

    def available(self, day: date) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self.available_from_I <= np.datetime64(day)
        return found


@dataclass(frozen=True)
class TruthUsers:
    user_id: npt.NDArray[Any]
    categories_UK: Ints
    weights_UK: Floats
    style_US: Floats

    def __len__(self) -> int:
        return len(self.user_id)

    def __getitem__(self, rows: Any) -> "TruthUsers":
        """A slice, index or mask of users, to score a piece at a time."""
        return TruthUsers(self.user_id[rows], self.categories_UK[rows], self.weights_UK[rows], self.style_US[rows])


def affinity(style_US: Floats, style_IS: Floats, bias_I: Floats) -> Floats:
    """style_user . style_item + bias, in float64: [U, I]."""
    scores: Floats = style_US.astype(np.float64) @ style_IS.astype(np.float64).T + bias_I.astype(np.float64)
    return scores


def softmax(scores_UI: Floats) -> Floats:
    """Rows that sum to 1."""
    shifted = np.exp(scores_UI - scores_UI.max(axis=1, keepdims=True))
    result: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def true_scores(items: TruthItems, users: TruthUsers, day: date) -> Floats:
    """p(item | user, day): [U, I] float64. Zero for items not yet available and categories the user does not care for.

    Rows sum to 1 as long as each of the user's categories has an available item.
    """
    scores_UI = np.zeros((len(users), len(items.item_id)))
    available = items.available(day)
    for category in np.unique(items.category_I):
        inside = np.flatnonzero(available & (items.category_I == category))
        weight_U = np.where(users.categories_UK == category, users.weights_UK.astype(np.float64), 0.0).sum(axis=1)
        recommender = np.flatnonzero(weight_U)
        if len(inside) and len(recommender):
            chance = softmax(affinity(users.style_US[recommender], items.style_IS[inside], items.bias_I[inside]))
            scores_UI[np.ix_(recommender, inside)] = weight_U[recommender, None] * chance
    return scores_UI


def load_items(lake: Lake) -> TruthItems:
    """Every item the market has had so far; UsageError in a lake that was not simulated."""
    table = _read(lake.truth / "items.parquet")
    return TruthItems(
        table.column("item_id").to_numpy(zero_copy_only=False),
        table.column("category").to_numpy(),
        _matrix(table, "style"),
        table.column("bias").to_numpy(),
        table.column("available_from").to_numpy().astype("datetime64[D]"),
    )


def load_users(lake: Lake, day: date) -> TruthUsers:
    """Everyone known on that day, with the taste of that day."""
    table = _read(lake.truth / "users" / f"day={day.isoformat()}.parquet")
    names = table.column("user_id").to_numpy(zero_copy_only=False)
    return TruthUsers(names, _matrix(table, "categories"), _matrix(table, "weights"), _matrix(table, "style"))


def _read(path: Location) -> pa.Table:
    if not path.exists():
        raise UsageError(f"{path} does not exist", "only a simulated lake has a truth, for the days that were simulated")
    return pq.read_table(local_copy(path), partitioning=None)


def _matrix(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """A list column of equal lengths as [rows, length]."""
    column = table.column(name).combine_chunks()
    matrix: npt.NDArray[Any] = column.flatten().to_numpy().reshape(len(column), -1)
    return matrix
