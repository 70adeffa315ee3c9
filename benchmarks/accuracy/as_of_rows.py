"""Rows for click rankers with aggregates as of their day, in numpy, from a simulated market or from MovieLens' ratings.

The numbers come from `nightrank.feature_store.as_of`, as in a run; tests/spark holds Spark's plan to the same functions.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.as_of import from_events, values
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.days import days_of
from nightrank.pipeline.simulate.market import simulate

USER_NAMES: Final = ("count_1d", "count_7d", "click_28d", "active_days_28d", "recency_days", "age_days")
ITEM_NAMES: Final = ("count_1d", "count_7d", "count_28d", "click_7d", "purchase_28d", "recency_days", "age_days")
SECOND: Final = 1_000_000
Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Log:
    """Events `user`, `item`, `action`, `time`, `known`, and the rows asked about: `user`, `item`, `time`, `label`. Users and
    items are codes from 1, times microseconds."""

    events: dict[str, Values]
    rows: dict[str, Values]
    fields: dict[str, Values]
    """[N] texts of more fields, empty where not known."""
    part: Values
    """[N] train, valid or test; empty for a row that is left out."""
    static: tuple[str, ...] = ()
    """Fields that are attributes of users: read with the aggregates or not at all."""


def aggregates(log: Log) -> dict[str, Values]:
    """log(1 + value) of every aggregate of a row's user and item, as of the row's day."""
    events, rows, day = log.events, log.rows, days_of(log.rows["time"], "UTC")
    found: dict[str, Values] = {}
    for entity, names in (("user", USER_NAMES), ("item", ITEM_NAMES)):
        counters = counters_of(names)
        table = from_events(events[entity], events["action"], events["time"], events["known"], counters, "UTC")
        numbers = np.log1p(values(table, names, counters, rows[entity], day))
        found |= {f"{entity}_{name}": numbers[:, place] for place, name in enumerate(names)}
    return found


def simulated(root: Path, preset: str, seed: int, impression_share: float) -> Log:
    """Impressions of a market without faults, clicked within their list or not; the last day is test, the one before
    validation. One in a hundred events is late."""
    simulate(root, preset=preset, seed=seed, impression_share=impression_share, duplicate_share=0.0, broken_share=0.0)
    events, users, items = (_landed(Lake(root), kind) for kind in ("events", "users", "items"))
    user_ids, user = np.unique(_texts(events, c.USER_ID), return_inverse=True)
    item_ids, item = np.unique(_texts(events, c.ITEM_ID), return_inverse=True)
    action, time = _texts(events, c.ACTION), events[c.EVENT_TIME].cast(pa.int64()).to_numpy()
    late = events[c.AVAILABILITY_TIME].cast(pa.int64()).fill_null(0).to_numpy()
    codes = np.array([ACTION_CODES[name] for name in action], np.int8)
    shown = np.flatnonzero(action == "impression")
    place = np.char.add(_texts(events, c.LIST_ID), np.char.add(" ", _texts(events, c.ITEM_ID)))
    clicked = np.isin(place[shown], place[action == "click"])
    rows = {"user": user[shown] + 1, "item": item[shown] + 1, "time": time[shown], "label": clicked.astype(np.float32)}
    categories = dict(zip(_texts(items, c.ITEM_ID), (each[0] for each in items[c.CATEGORIES].to_pylist()), strict=True))
    attributes = {
        key: dict(pairs) for key, pairs in zip(_texts(users, c.USER_ID), users[c.ATTRIBUTES].to_pylist(), strict=True)
    }
    fields = {
        "category": np.array([categories[name] for name in item_ids])[item[shown]],
        "position": _texts(events.take(shown), c.POSITION),
        **{name: np.array([attributes[u][name] for u in user_ids])[user[shown]] for name in ("interest", "region")},
    }
    day = days_of(rows["time"], "UTC")
    part = np.select([day == day.max(), day == day.max() - 1], ["test", "valid"], "train")
    made = {"user": user + 1, "item": item + 1, "action": codes, "time": time, "known": np.maximum(late, time)}
    return Log(made, rows, fields, part, ("interest", "region"))


def _landed(lake: Lake, kind: LandingKind) -> pa.Table:
    files = sorted(lake.landing(kind).glob("day=*/*.parquet"))
    return pa.concat_tables([pq.ParquetFile(path).read() for path in files])


def _texts(table: pa.Table, name: str) -> Values:
    return np.array(table[name].cast(pa.string()).fill_null("").to_pylist())


def movielens(path: Path, seed: int) -> Log:
    """Ratings, and beside each an item that its user never rated, drawn uniformly, at the same moment. A user's newest is
    test, the one before validation."""
    with path.open(newline="") as lines:
        read = [(int(row["userId"]), int(row["timestamp"]), int(row["movieId"])) for row in csv.DictReader(lines)]
    user, seconds, movie = np.array(sorted(read)).T
    _, item = np.unique(movie, return_inverse=True)
    time, count = seconds * SECOND, int(item.max()) + 1
    rated = np.full(len(user), ACTION_CODES["rating"], np.int8)
    events = {"user": user, "item": item + 1, "action": rated, "time": time, "known": time}
    back = np.searchsorted(user, user, side="right") - np.arange(len(user))
    queried = np.flatnonzero(np.arange(len(user)) > np.searchsorted(user, user))
    other, had = np.random.default_rng(seed).integers(0, count, len(queried)), np.unique(user * count + item)
    rng = np.random.default_rng(seed + 1)
    while (again := np.isin(user[queried] * count + other, had)).any():
        other[again] = rng.integers(0, count, int(again.sum()))
    both = np.tile(queried, 2)
    label = np.repeat([1.0, 0.0], len(queried)).astype(np.float32)
    rows = {"user": user[both], "item": np.concatenate([item[queried], other]) + 1, "time": time[both], "label": label}
    return Log(events, rows, {}, np.select([back[both] == 1, back[both] == 2], ["test", "valid"], "train"))
