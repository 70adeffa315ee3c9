"""Users' events into their lists, inside executors: the bundle's scorer is opened once per Python worker."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.storage import local_folder, locate
from nightrank.feature_store.training_rows import History, collapse
from nightrank.spark_jobs.executor.fallback import Fallback, read_fallback
from nightrank.spark_jobs.executor.features import tables_of
from nightrank.spark_jobs.executor.list_rows import list_rows
from nightrank.spark_jobs.executor.rerank import RerankRules, reranked
from nightrank.spark_jobs.executor.rows import flattened

NO_HISTORY: Final = "no_history"
UNKNOWN: Final = "history_unknown_to_model"
Batches = Iterable[pa.RecordBatch]
Ids = npt.NDArray[np.int64]


class ScoreRules(NamedTuple):
    """`bundle`, `popular` and `hidden` are folders every executor can read; times are microseconds."""

    bundle: str
    manifest: str
    popular: str
    items: int
    """Highest item id that the model can score."""
    k: int
    batch_users: int
    max_length: int
    history_actions: tuple[int, ...]
    collapse_repeats: bool
    seen_actions: tuple[int, ...]
    seen_from: int | None
    against_actions: tuple[int, ...] = ()
    hidden: str | None = None
    """Parquet with the ids of items that are in no list; None: there are none. `against_actions` hide an item forever."""
    features: Features | None = None
    item_sums: str | None = None
    """What the ranker reads beside histories, and the folder of the items' cumulative sums."""
    rerank: RerankRules | None = None
    """None: lists are the model's best, in its order."""


class Users(NamedTuple):
    """One batch: per user the model's view of the history, and the items not to be listed; FeatureTables where read."""

    user: list[int]
    user_id: list[str]
    segment: list[str]
    histories: list[History]
    seen: list[Ids]
    had_history: list[bool]
    tables: Any


def list_scorer(rules: ScoreRules) -> Callable[[Batches], Batches]:
    """A mapInArrow function: users with their events in, their lists (OUTPUT) out."""

    def score(batches: Batches) -> Batches:
        fallback = open_fallback(rules.popular, rules.items, rules.hidden)
        for batch in batches:
            for start in range(0, batch.num_rows, rules.batch_users):
                yield _lists(read_users(batch.slice(start, rules.batch_users), rules), fallback, rules)

    return score


@lru_cache(maxsize=1)
def open_scorer(folder: str, manifest: str) -> Any:
    """The scorer, once per worker and model; its tables are mapped, so workers of a host share them. Each task has one core, so
    torch takes one thread."""
    # Imported here, so that the driver, which imports this module for its names, never loads torch.
    import torch

    from nightrank.ranker.bundle.scorer import load_scorer

    torch.set_num_threads(1)
    return load_scorer(local_folder(locate(folder)), manifest)


@lru_cache(maxsize=1)
def open_fallback(folder: str, items: int, hidden: str | None) -> Fallback:
    return read_fallback(local_folder(locate(folder)), np.flatnonzero(eligible_items(items, hidden)).tolist())


@lru_cache(maxsize=1)
def eligible_items(items: int, hidden: str | None) -> npt.NDArray[np.bool_]:
    """[items + 1]: True of an item that may be shown."""
    eligible = np.ones(items + 1, dtype=bool)
    eligible[0] = False
    if hidden is not None:
        ids = pq.read_table(local_folder(locate(hidden)), columns=[c.ITEM])[c.ITEM].to_numpy()
        eligible[ids[ids <= items]] = False
    return eligible


def read_users(batch: pa.RecordBatch, rules: ScoreRules) -> Users:
    """Histories as training rows show them (actions, repeats, ids the model knows), and all seen items, however old."""
    flat = {name: flattened(batch.column(name))[0] for name in (c.ITEMS, c.ACTIONS, c.TIMES)}
    offsets = flattened(batch.column(c.ITEMS))[1]
    is_history = np.isin(flat[c.ACTIONS], np.array(rules.history_actions, dtype=np.int8))
    is_seen = np.isin(flat[c.ACTIONS], np.array(rules.seen_actions, dtype=np.int8))
    if rules.seen_from is not None:
        is_seen &= flat[c.TIMES] >= rules.seen_from
    is_seen |= np.isin(flat[c.ACTIONS], np.array(rules.against_actions, dtype=np.int8))
    user, user_id, segment = (batch.column(name).to_pylist() for name in (c.USER, c.USER_ID, c.SEGMENT))
    users = Users(user, user_id, segment, [], [], [], rules.features and tables_of(batch, rules.features, rules.item_sums))
    for start, end in pairwise(offsets):
        items, actions, times = (flat[name][start:end] for name in (c.ITEMS, c.ACTIONS, c.TIMES))
        kept = is_history[start:end]
        users.histories.append(_history(items[kept], actions[kept], times[kept], rules))
        users.seen.append(np.unique(items[is_seen[start:end]]).astype(np.int64))
        users.had_history.append(bool(kept.any()))
    return users


def _history(items: npt.NDArray[np.int32], actions: npt.NDArray[np.int8], times: Ids, rules: ScoreRules) -> History:
    no = np.zeros(len(items), dtype=bool)
    # Everything read here was known by the end of the date, so no event of a run is left out as late.
    history = History(items, actions, times, times, no, no)
    history = collapse(history) if rules.collapse_repeats else history
    newest = np.flatnonzero(history.items <= rules.items)[-rules.max_length :]
    columns: list[npt.NDArray[Any]] = [values[newest] for values in history[:6]]
    return History(*columns)


def _lists(users: Users, fallback: Fallback, rules: ScoreRules) -> pa.RecordBatch:
    warm = [row for row, history in enumerate(users.histories) if len(history.items)]
    ids: list[Ids] = [np.empty(0, dtype=np.int64)] * len(users.user)
    scores: list[npt.NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * len(users.user)
    reasons: list[str | None] = [None] * len(users.user)
    moved: dict[tuple[int, int], str] = {}
    for row, listed, values, why in zip(warm, *_ranked(users, warm, rules), strict=True):
        ids[row], scores[row] = listed, values
        moved |= {(row, item): text for item, text in why.items()}
    for row in set(range(len(users.user))) - set(warm):
        reasons[row] = UNKNOWN if users.had_history[row] else NO_HISTORY
        ids[row], scores[row] = fallback.pick(users.segment[row], users.seen[row], rules.k)
    vocabulary = open_scorer(rules.bundle, rules.manifest).vocabulary
    return list_rows((users.user, users.user_id), ids, scores, (reasons, moved), vocabulary)


def _ranked(
    users: Users, warm: list[int], rules: ScoreRules
) -> tuple[list[Ids], list[npt.NDArray[np.float32]], list[dict[int, str]]]:
    """The model's lists of the users that have a history it knows, re-ranked where that is on, and by item what was moved."""
    if not warm:
        return [], [], []
    import torch

    from nightrank.ranker.batch import Batch

    scorer = open_scorer(rules.bundle, rules.manifest)
    histories, seen = [users.histories[row] for row in warm], [users.seen[row] for row in warm]
    offsets = _offsets([len(history.items) for history in histories])
    flat = (np.concatenate([history[column] for history in histories]) for column in range(3))
    items_T, actions_T, times_T = (torch.from_numpy(values.astype(np.int64)) for values in flat)
    batch = Batch(
        items_T=items_T,
        actions_T=actions_T,
        times_T=times_T,
        offsets_B1=offsets,
        loss_from_B=offsets.diff(),
        weight_B=torch.ones(len(warm)),
        users_B=torch.tensor([users.user[row] for row in warm]),
    )
    batch = batch if users.tables is None else users.tables.fill(batch)
    eligible = torch.zeros(len(scorer.item_matrix), dtype=torch.bool)
    eligible[: rules.items + 1] = torch.from_numpy(eligible_items(rules.items, rules.hidden))
    excluded = (torch.from_numpy(np.concatenate(seen)), _offsets([len(items) for items in seen]))
    depth = rules.k if rules.rerank is None else max(rules.k, rules.rerank.settings.candidates)
    ids_BK, scores_BK = (found.numpy() for found in scorer.best(batch, depth, excluded, eligible))
    moved: list[dict[int, str]] = [{} for _ in warm]
    if rules.rerank is not None:
        items = [history.items for history in histories]
        ids_BK, scores_BK, moved = reranked(ids_BK, scores_BK, items, scorer.item_matrix, rules.rerank, rules.k)
    listed = ids_BK > 0
    ids, scores = ([row[m] for row, m in zip(of, listed, strict=True)] for of in (ids_BK, scores_BK))
    return ids, scores, moved


def _offsets(lengths: list[int]) -> Any:
    import torch

    return torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0)
