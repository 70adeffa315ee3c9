"""Users' events into their lists, inside executors: the bundle's scorer is opened once per Python worker."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from nightrank.feature_store.contracts.storage import local_folder, locate
from nightrank.spark_jobs.executor.experiment import arms, explored
from nightrank.spark_jobs.executor.fallback import Fallback, read_fallback
from nightrank.spark_jobs.executor.list_rows import Listed, list_rows
from nightrank.spark_jobs.executor.ranking import Ranking
from nightrank.spark_jobs.executor.shop_rules import OpenRules, ShopRules, open_rules, taken_by
from nightrank.spark_jobs.executor.shortened import capped_fallback
from nightrank.spark_jobs.executor.users import ScoreRules, Users, eligible_items, read_users

NO_HISTORY: Final = "no_history"
UNKNOWN: Final = "history_unknown_to_model"
Batches = Iterable[pa.RecordBatch]


def list_scorer(rules: ScoreRules) -> Callable[[Batches], Batches]:
    """A mapInArrow function: users with their events in, their lists (OUTPUT) out."""

    def score(batches: Batches) -> Batches:
        shop = None if rules.shop is None else open_rules(rules.shop, rules.items + 1)
        fallback = open_fallback(rules.popular, rules.items, rules.hidden, rules.shop)
        for batch in batches:
            for start in range(0, batch.num_rows, rules.batch_users):
                yield _lists(read_users(batch.slice(start, rules.batch_users), rules), fallback, rules, shop)

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


@lru_cache(maxsize=2)
def open_fallback(folder: str, items: int, hidden: str | None, shop: ShopRules | None) -> Fallback:
    """Of the items that may be shown, by the shop's rules too."""
    eligible = eligible_items(items, hidden)
    if shop is not None:
        eligible = eligible & open_rules(shop, items + 1).allowed_I(items + 1)
    return read_fallback(local_folder(locate(folder)), np.flatnonzero(eligible).tolist())


def _lists(users: Users, fallback: Fallback, rules: ScoreRules, shop: OpenRules | None) -> pa.RecordBatch:
    warm = [row for row, history in enumerate(users.histories) if len(history.items)]
    scorer = open_scorer(rules.bundle, rules.manifest)
    lists: dict[int, Listed] = {}
    for arm, rows in arms(rules.experiment, users.user_id, warm):
        lists |= zip(rows, _ranked(users, rows, fallback, rules, shop, arm), strict=True)
    for arm, rows in arms(rules.experiment, users.user_id, sorted(set(range(len(users.user))) - set(warm))):
        lists |= {row: _cold(users, row, fallback, rules, shop)._replace(variant=arm) for row in rows}
    return list_rows(
        (users.user, users.user_id, users.inputs), [lists[row] for row in range(len(users.user))], scorer.vocabulary
    )


def _ranked(
    users: Users, rows: list[int], fallback: Fallback, rules: ScoreRules, shop: OpenRules | None, arm: str | None
) -> list[Listed]:
    """By the model, of users in that arm of the experiment."""
    if not rows:
        return []
    scorer, experiment = open_scorer(rules.bundle, rules.manifest), rules.experiment
    if experiment is None or arm is None:
        return Ranking(users, rows, rules, scorer, fallback, shop).lists(rules.k)
    own = rules._replace(rerank=experiment.rerank[arm])
    found = Ranking(users, rows, own, scorer, fallback, shop).lists(experiment.depth(rules.k))
    lists = zip(rows, found, strict=True)
    return [explored(one, users.user_id[row], experiment, rules.k)._replace(variant=arm) for row, one in lists]


def _cold(users: Users, row: int, fallback: Fallback, rules: ScoreRules, shop: OpenRules | None) -> Listed:
    """What the segment chose lately, of a user whose history the model cannot read."""
    reason = UNKNOWN if users.had_history[row] else NO_HISTORY
    if shop is None:
        return Listed(*fallback.pick(users.segment[row], users.seen[row], rules.k), reason)
    ids, counts = capped_fallback(fallback, users.segment[row], users.out(row), shop.caps, rules.k)
    free = open_fallback(rules.popular, rules.items, rules.hidden, None)
    own = free.pick(users.segment[row], users.seen[row], rules.k)[0]
    taken = taken_by(own, shop, users.bought[row], ids)
    return Listed(ids, counts, reason, taken="; ".join(taken) or None)
