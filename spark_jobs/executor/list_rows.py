"""Lists as rows of Arrow, inside executors."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c

OUTPUT: Final = pa.schema(
    [
        (c.USER, pa.int32()),
        (c.USER_ID, pa.string()),
        (c.INPUTS, pa.int64()),
        (c.ITEM, pa.int32()),
        (c.ITEM_ID, pa.string()),
        (c.RANK, pa.int32()),
        (c.SCORE, pa.float32()),
        (c.FALLBACK, pa.string()),
        (c.MOVED, pa.string()),
        (c.SOURCE, pa.string()),
        (c.TAKEN, pa.string()),
        (c.VARIANT, pa.string()),
        (c.PLACE, pa.int32()),
        (c.CHOSEN, pa.int32()),
        (c.CANDIDATES, pa.list_(pa.string())),
        (c.SCORES, pa.list_(pa.float32())),
        (c.CHANCES, pa.list_(pa.float64())),
    ]
)
Ids = npt.NDArray[np.int64]
NONE: Final[Mapping[int, str]] = MappingProxyType({})


class Drawn(NamedTuple):
    """What was drawn for one place (from 1) of a list: the index of the item among the candidates, their scores and chances."""

    place: int
    chosen: int
    candidates: Ids
    scores: npt.NDArray[np.float32]
    chances: npt.NDArray[np.float64]


class Listed(NamedTuple):
    """One user's list: item ids and scores, and by item what is to be told of it."""

    ids: Ids
    scores: npt.NDArray[np.float32]
    fallback: str | None = None
    """Why the list is a fallback."""
    moved: Mapping[int, str] = NONE
    source: Mapping[int, str] = NONE
    fillers: Mapping[int, str] = NONE
    """Why an item stands in a list that is not a fallback itself."""
    taken: str | None = None
    variant: str | None = None
    """The user's arm in the experiment."""
    drawn: Drawn | None = None


Owners = tuple[list[int], list[str], list[int | None]]
"""Ids, raw ids, and the hash of what the list is made of."""


def list_rows(users: Owners, lists: list[Listed], vocabulary: pa.StringArray) -> pa.RecordBatch:
    """OUTPUT of users with the list of each."""
    lengths = [len(one.ids) for one in lists]
    owner = np.repeat(np.arange(len(lists)), lengths)
    flat = np.concatenate([one.ids for one in lists])
    ranks = np.arange(len(flat)) - np.repeat(np.cumsum([0, *lengths])[:-1], lengths) + 1

    def told(of: Callable[[Listed], Mapping[int, str]]) -> pa.Array:
        if not any(of(one) for one in lists):
            return pa.nulls(len(flat), pa.string())
        return pa.array(
            [of(lists[row]).get(item) for row, item in zip(owner.tolist(), flat.tolist(), strict=True)], pa.string()
        )

    reasons = pa.array(np.array([one.fallback for one in lists], dtype=object)[owner], pa.string())
    heads = np.where(ranks == 1, owner, len(lists))
    fillers = told(lambda one: one.fillers)
    columns = [
        pa.array(np.array(users[0], dtype=np.int32)[owner]),
        pa.array(np.array(users[1], dtype=object)[owner], pa.string()),
        pa.array(users[2], pa.int64()).take(pa.array(owner)),
        pa.array(flat.astype(np.int32)),
        vocabulary.take(pa.array(flat - 1)),
        pa.array(ranks.astype(np.int32)),
        pa.array(np.concatenate([one.scores for one in lists]).astype(np.float32)),
        pc.coalesce(reasons, fillers),
        told(lambda one: one.moved),
        told(lambda one: one.source),
        _at_heads([one.taken for one in lists], heads, pa.string()),
        pa.array(np.array([one.variant for one in lists], dtype=object)[owner], pa.string()),
        *_drawn([one.drawn for one in lists], heads, vocabulary),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=OUTPUT)


def _at_heads(of_lists: list[Any], heads: npt.NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """What belongs to a whole list, in its first row; `heads` points behind the lists in every other one."""
    if all(value is None for value in of_lists):
        return pa.nulls(len(heads), kind)
    return pa.array([*of_lists, None], kind).take(pa.array(heads))


def _drawn(of_lists: list[Drawn | None], heads: npt.NDArray[np.int64], vocabulary: pa.StringArray) -> list[pa.Array]:
    """The last five columns of OUTPUT; null where nothing was drawn."""
    names = [one and vocabulary.take(pa.array(one.candidates - 1)).to_pylist() for one in of_lists]
    columns: list[tuple[list[Any], pa.DataType]] = [
        ([one and one.place for one in of_lists], pa.int32()),
        ([one and one.chosen for one in of_lists], pa.int32()),
        (names, pa.list_(pa.string())),
        ([one and one.scores for one in of_lists], pa.list_(pa.float32())),
        ([one and one.chances for one in of_lists], pa.list_(pa.float64())),
    ]
    return [_at_heads(values, heads, kind) for values, kind in columns]
