"""Visits to events: logged lists, then view, click, cart and purchase with falling rates. E events."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.pipeline.simulate.config import MarketConfig
from nightrank.pipeline.simulate.sessions import Visits
from nightrank.pipeline.simulate.truth import Ints, TruthItems, TruthUsers

JOURNAL_STREAM: Final = 6
ACTIONS: Final = ("impression", "view", "click", "cart", "purchase")
FUNNEL: Final = ((1, 1.0, 0.0), (2, 0.55, 6.0), (3, 0.25, 12.0), (4, 0.5, 25.0))
"""Action, probability given the one before, seconds after the visit began."""
EXAMINATION: Final = 0.6
"""A list position is looked at with probability position^-0.6: the propensity that the log keeps."""
DEVICES: Final = ("desktop", "mobile", "tablet")
Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Lists:
    """The first visits that came from a logged list. L lists of length n; the visited item is at `position_L`."""

    visit_L: Ints
    shown_Ln: Ints
    """-1 where the category has too few items."""
    position_L: Ints


def events(config: MarketConfig, day: int, found: Visits, users: TruthUsers, items: TruthItems, price_I: Any) -> pa.Table:
    """LANDING_EVENTS of the day, in time order, each with an id of its own."""
    rng = np.random.default_rng([config.seed, JOURNAL_STREAM, day])
    lists = _lists(rng, config, found, items, day)
    parts = [_impressions(found, lists), *_funnel(rng, found, lists)]
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((merged["action"], merged["visit"], merged["micros"]))
    device_of = rng.choice(len(DEVICES), found.sessions, p=(0.35, 0.55, 0.1))
    return _table(config, day, {name: values[order] for name, values in merged.items()}, users, items, price_I, device_of)


def _lists(rng: np.random.Generator, config: MarketConfig, found: Visits, items: TruthItems, day: int) -> Lists:
    first = np.flatnonzero(found.step_V == 0)
    visit = first[rng.random(len(first)) < config.impression_share]
    length = config.list_length
    looked_at = np.arange(1, length + 1) ** -EXAMINATION
    shown = np.full((len(visit), length), -1, np.int64)
    position = rng.choice(length, len(visit), p=looked_at / looked_at.sum())
    available = items.available(config.start + timedelta(days=day))
    category = items.category_I[found.item_V[visit]]
    for kind in np.unique(category):
        rows = np.flatnonzero(category == kind)
        inside = np.flatnonzero(available & (items.category_I == kind))
        keys = rng.random((len(rows), len(inside)))
        keys[inside[None, :] == found.item_V[visit[rows], None]] = 2.0  # The visited item has its own place.
        others = inside[np.argsort(keys, axis=1)[:, : min(length, len(inside) - 1)]]
        shown[rows, : others.shape[1]] = others
    shown[np.arange(len(visit)), position] = found.item_V[visit]
    return Lists(visit, shown, position)


def _impressions(found: Visits, lists: Lists) -> Columns:
    row, place = np.nonzero(lists.shown_Ln >= 0)
    visit = lists.visit_L[row]
    part = _part(found, visit, 0, 0.0)
    part["item"] = lists.shown_Ln[row, place]
    part["position"] = place + 1
    return part


def _funnel(rng: np.random.Generator, found: Visits, lists: Lists) -> list[Columns]:
    position = np.zeros(len(found.item_V), np.int64)
    position[lists.visit_L] = lists.position_L + 1
    reached = np.arange(len(found.item_V))
    parts = []
    for action, rate, delay in FUNNEL:
        reached = reached[rng.random(len(reached)) < rate]
        part = _part(found, reached, action, 2.0 + delay)
        part["position"] = position[reached]
        parts.append(part)
    return parts


def _part(found: Visits, visit: Ints, action: int, delay: float) -> Columns:
    return {
        "visit": visit,
        "action": np.full(len(visit), action),
        "item": found.item_V[visit],
        "user": found.user_V[visit],
        "session": found.session_V[visit],
        "micros": ((found.second_V[visit] + delay) * 1_000_000).astype(np.int64),
    }


def _table(
    config: MarketConfig, day: int, column: Columns, users: TruthUsers, items: TruthItems, price_I: Any, device_of: Ints
) -> pa.Table:
    rows = len(column["item"])
    midnight = datetime.combine(config.start + timedelta(days=day), datetime.min.time(), UTC)
    listed = column["position"] > 0
    bought = column["action"] == ACTIONS.index("purchase")
    lists = [
        f"l{day:04d}-{session:06d}" if on else None for session, on in zip(column["session"].tolist(), listed, strict=True)
    ]
    propensity = np.maximum(column["position"], 1) ** -EXAMINATION
    arrays = {
        c.EVENT_ID: pa.array([f"e{day:04d}-{number:07d}" for number in range(rows)]),
        c.USER_ID: pa.array(users.user_id).take(pa.array(column["user"])),
        c.ITEM_ID: pa.array(items.item_id).take(pa.array(column["item"])),
        c.ACTION: pa.array(ACTIONS).take(pa.array(column["action"])),
        c.EVENT_TIME: pa.array(column["micros"] + int(midnight.timestamp()) * 1_000_000).cast(schemas.TIMESTAMP),
        c.AVAILABILITY_TIME: pa.nulls(rows, schemas.TIMESTAMP),
        c.VALUE: pa.array(np.asarray(price_I)[column["item"]], mask=~bought),
        c.POSITION: pa.array(column["position"].astype(np.int32), mask=~listed),
        c.PROPENSITY: pa.array(propensity, mask=~listed),
        c.CONTEXT: _context(device_of[column["session"]]),
        c.SESSION_ID: pa.array([f"s{day:04d}-{session:06d}" for session in column["session"].tolist()]),
        c.LIST_ID: pa.array(lists, pa.string()),
    }
    return pa.Table.from_arrays([arrays[name] for name in schemas.LANDING_EVENTS.names], schema=schemas.LANDING_EVENTS)


def _context(device: Ints) -> pa.Array:
    keys = pa.array(["device"]).take(pa.array(np.zeros(len(device), np.int64)))
    values = pa.array(DEVICES).take(pa.array(device))
    return pa.MapArray.from_arrays(pa.array(np.arange(len(device) + 1, dtype=np.int32)), keys, values)
