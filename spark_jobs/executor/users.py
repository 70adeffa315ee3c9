"""Users as executors read them: the model's view of each history, and the items not to be listed."""

from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.storage import local_folder, locate
from nightrank.feature_store.training_rows import History, collapse
from nightrank.spark_jobs.executor.experiment import ExperimentRules
from nightrank.spark_jobs.executor.features import tables_of
from nightrank.spark_jobs.executor.rerank import RerankRules
from nightrank.spark_jobs.executor.rows import flattened
from nightrank.spark_jobs.executor.shop_rules import ShopRules

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
    shop: ShopRules | None = None
    """None: the shop has no rules, and lists are as without them."""
    experiment: ExperimentRules | None = None
    """None: users are in no arm, and no place is drawn."""


class Users(NamedTuple):
    """One batch: per user the model's view of the history, and the items not to be listed; FeatureTables where read."""

    user: list[int]
    user_id: list[str]
    segment: list[str]
    histories: list[History]
    seen: list[Ids]
    had_history: list[bool]
    tables: Any
    bought: list[list[tuple[str, Ids]]]
    """By the shop's rule: what it takes from this user's list, whether seen or not."""

    inputs: list[int | None]
    """The hash of what the list is made of; None where nobody gave one."""

    def out(self, row: int) -> Ids:
        """All items that are not to be in the user's list."""
        result: Ids = np.unique(np.concatenate([self.seen[row], *(items for _, items in self.bought[row])]))
        return result


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
    is_seen = _since(flat, rules.seen_actions, rules.seen_from)
    is_seen |= np.isin(flat[c.ACTIONS], np.array(rules.against_actions, dtype=np.int8))
    bought = [(one.label, _since(flat, one.actions, one.since)) for one in (rules.shop.bought if rules.shop else ())]
    user, user_id, segment = (batch.column(name).to_pylist() for name in (c.USER, c.USER_ID, c.SEGMENT))
    tables = rules.features and tables_of(batch, rules.features, rules.item_sums)
    inputs = batch.column(c.INPUTS).to_pylist() if c.INPUTS in batch.schema.names else [None] * batch.num_rows
    users = Users(user, user_id, segment, [], [], [], tables, [], inputs)
    for start, end in pairwise(offsets):
        items, actions, times = (flat[name][start:end] for name in (c.ITEMS, c.ACTIONS, c.TIMES))
        kept = is_history[start:end]
        users.histories.append(_history(items[kept], actions[kept], times[kept], rules))
        users.seen.append(np.unique(items[is_seen[start:end]]).astype(np.int64))
        users.had_history.append(bool(kept.any()))
        users.bought.append([(label, np.unique(items[flags[start:end]]).astype(np.int64)) for label, flags in bought])
    return users


def _since(flat: dict[str, npt.NDArray[Any]], actions: tuple[int, ...], since: int | None) -> npt.NDArray[np.bool_]:
    found = np.isin(flat[c.ACTIONS], np.array(actions, dtype=np.int8))
    return found if since is None else found & (flat[c.TIMES] >= since)


def _history(items: npt.NDArray[np.int32], actions: npt.NDArray[np.int8], times: Ids, rules: ScoreRules) -> History:
    no = np.zeros(len(items), dtype=bool)
    # Everything read here was known by the end of the date, so no event of a run is left out as late.
    history = History(items, actions, times, times, no, no)
    history = collapse(history) if rules.collapse_repeats else history
    newest = np.flatnonzero(history.items <= rules.items)[-rules.max_length :]
    columns: list[npt.NDArray[Any]] = [values[newest] for values in history[:6]]
    return History(*columns)
