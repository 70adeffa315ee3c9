"""The three baselines' lists for evaluation rows, inside executors: fitted tables read once per worker, blocked numpy after.

Shapes: B rows of a block, I = items + 1 columns (id 0 is padding), d ALS rank, H history items.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.storage import local_folder, locate
from nightrank.spark_jobs.executor.rows import flattened
from nightrank.spark_jobs.executor.topk import Ids, Scores, block_rows, top_k

POPULAR: Final = "popular_7d"
ALS: Final = "als"
COOCCURRENCE: Final = "item_cooccurrence"
DAY: Final = 86_400_000_000
Batches = Iterable[pa.RecordBatch]


class ListRules(NamedTuple):
    """How lists are made: `folder` holds the fitted tables, `items` is the highest item id."""

    folder: str
    split: str
    items: int
    k: int
    history: int
    regularisation: float
    alpha: float
    seen_actions: tuple[int, ...]
    seen_days: int | None


@dataclass(frozen=True)
class Fitted:
    """What was learnt of the items."""

    popular_I: Scores
    """In [-1, 0), larger is more popular; items without events come last, by id."""
    factors_Id: npt.NDArray[np.float64]
    """Zeros for an item ALS has not seen."""
    gram_dd: npt.NDArray[np.float64]
    neighbours: Ids
    similarities: npt.NDArray[np.float64]
    starts: Ids
    """Neighbours of item i are at [starts[i], starts[i + 1])."""


class Block(NamedTuple):
    """Evaluation rows: history items of each, oldest first, and those its list must not hold."""

    users: npt.NDArray[np.int32]
    histories: list[Ids]
    seen: list[Ids]


def list_maker(rules: ListRules) -> Callable[[Batches], Batches]:
    """A mapInArrow function: EXAMPLES rows in, one BASELINE_LISTS row a row and recommender out."""

    def make(batches: Batches) -> Batches:
        fitted = read_fitted(rules.folder, rules.items)
        scorers = {POPULAR: _popular, ALS: _als, COOCCURRENCE: _cooccurrence}
        for batch in batches:
            for start in range(0, batch.num_rows, block_rows(rules.items)):
                block = _block(batch.slice(start, block_rows(rules.items)), rules)
                for recommender, scorer in scorers.items():
                    yield _to_arrow(recommender, block, scorer(fitted, block, rules), rules)

    return make


@lru_cache(maxsize=1)
def read_fitted(folder: str, items: int) -> Fitted:
    """The fitted tables of one split; a worker keeps the newest."""
    popular = pq.read_table(local_folder(locate(folder) / POPULAR)).sort_by(
        [("recent", "descending"), ("total", "descending"), (c.ITEM, "ascending")]
    )
    order = popular[c.ITEM].to_numpy()
    rest = np.setdiff1d(np.arange(items + 1), order)
    popular_I = np.empty(items + 1, dtype=np.float32)
    popular_I[np.concatenate([order, rest])] = -np.arange(1, items + 2, dtype=np.float32) / np.float32(items + 2)
    als = pq.read_table(local_folder(locate(folder) / ALS))
    vectors = np.array(als["features"].combine_chunks().flatten(), dtype=np.float64).reshape(als.num_rows, -1)
    factors_Id = np.zeros((items + 1, vectors.shape[1]))
    factors_Id[als["id"].to_numpy()] = vectors
    pairs = pq.read_table(local_folder(locate(folder) / COOCCURRENCE)).sort_by(
        [(c.ITEM, "ascending"), ("neighbour", "ascending")]
    )
    return Fitted(
        popular_I=popular_I,
        factors_Id=factors_Id,
        gram_dd=factors_Id.T @ factors_Id,
        neighbours=pairs["neighbour"].to_numpy().astype(np.int64),
        similarities=pairs["similarity"].to_numpy(),
        starts=np.searchsorted(pairs[c.ITEM].to_numpy(), np.arange(items + 2)),
    )


def _block(batch: pa.RecordBatch, rules: ListRules) -> Block:
    items, offsets = flattened(batch.column(c.ITEMS))
    actions, times = flattened(batch.column(c.ACTIONS))[0], flattened(batch.column(c.TIMES))[0]
    hides = np.isin(actions, np.array(rules.seen_actions, dtype=actions.dtype))
    histories, seen = [], []
    for start, end in zip(offsets[:-1], offsets[:-1] + batch.column(c.LOSS_FROM).to_numpy(), strict=True):
        histories.append(items[start:end].astype(np.int64))
        hidden = hides[start:end]
        if rules.seen_days is not None:
            hidden = hidden & (times[start:end] >= times[end] - rules.seen_days * DAY)
        seen.append(histories[-1][hidden])
    return Block(batch.column(c.USER).to_numpy(), histories, seen)


def _popular(fitted: Fitted, block: Block, rules: ListRules) -> Scores:
    return np.tile(fitted.popular_I, (len(block.users), 1))


def _als(fitted: Fitted, block: Block, rules: ListRules) -> Scores:
    """The user half-step of implicit ALS on the row's own history (Hu, Koren, Volinsky 2008; MLlib scales lambda by the
    number of items). A row without an item ALS knows gets popularity."""
    users_Bd, known_B = fold_in(fitted, block.histories, rules.regularisation, rules.alpha)
    scores = (users_Bd @ fitted.factors_Id.T).astype(np.float32)
    scores[:, ~fitted.factors_Id.any(axis=1)] = -np.inf
    scores[~known_B] = fitted.popular_I
    return scores


def fold_in(
    fitted: Fitted, histories: list[Ids], regularisation: float, alpha: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """(user vectors [B, d], whether the history has an item with factors)."""
    rank = fitted.gram_dd.shape[0]
    left = np.empty((len(histories), rank, rank))
    right = np.zeros((len(histories), rank))
    known = np.zeros(len(histories), dtype=bool)
    for row, history in enumerate(histories):
        vectors = fitted.factors_Id[np.unique(history)]
        vectors = vectors[vectors.any(axis=1)]
        known[row] = len(vectors) > 0
        ridge = max(regularisation * len(vectors), 1e-9) * np.eye(rank)
        left[row] = fitted.gram_dd + alpha * vectors.T @ vectors + ridge
        right[row] = (1 + alpha) * vectors.sum(axis=0)
    return np.linalg.solve(left, right[:, :, None])[:, :, 0], known


def _cooccurrence(fitted: Fitted, block: Block, rules: ListRules) -> Scores:
    """score(j) = sum over the newest H items h of similarity(h, j) / (1 + places back); nothing in common: popularity."""
    columns = len(fitted.popular_I)
    cells, votes = [], []
    for row, history in enumerate(block.histories):
        for back, item in enumerate(history[::-1][: rules.history].tolist()):
            near = slice(fitted.starts[item], fitted.starts[item + 1])
            cells.append(fitted.neighbours[near] + row * columns)
            votes.append(fitted.similarities[near] / (1 + back))
    flat = np.concatenate(cells) if cells else np.empty(0, dtype=np.int64)
    weights = np.concatenate(votes) if votes else np.empty(0)
    total = np.bincount(flat, weights, minlength=len(block.users) * columns).reshape(-1, columns)
    return np.where(total > 0, total, fitted.popular_I).astype(np.float32)


def _to_arrow(recommender: str, block: Block, scores_BI: Scores, rules: ListRules) -> pa.RecordBatch:
    rows = np.repeat(np.arange(len(block.users)), [len(items) for items in block.seen])
    scores_BI[rows, np.concatenate(block.seen)] = -np.inf
    scores_BI[:, 0] = -np.inf
    ids, scores = top_k(scores_BI, rules.k)
    listed = scores > -np.inf
    offsets = np.concatenate([[0], np.cumsum(listed.sum(axis=1))]).astype(np.int32)
    count = len(block.users)
    columns = {
        c.RECOMMENDER: pa.array([recommender] * count),
        c.SPLIT: pa.array([rules.split] * count),
        c.USER: pa.array(block.users),
        c.ITEMS: pa.ListArray.from_arrays(offsets, pa.array(ids[listed].astype(np.int32))),
        c.SCORES: pa.ListArray.from_arrays(offsets, pa.array(scores[listed])),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in schemas.BASELINE_LISTS.names], schemas.BASELINE_LISTS.names)
