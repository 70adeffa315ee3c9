"""What users of a simulated market do with the newest lists: impressions and clicks, drawn from their true taste.

Shapes: L lists, K places.
"""

import io
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import NothingToDo, UsageError
from nightrank.feature_store.contracts.files import read_json, write_atomic
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.simulate import population
from nightrank.pipeline.simulate.config import MarketConfig
from nightrank.pipeline.simulate.journal import EXAMINATION
from nightrank.pipeline.simulate.truth import Floats, load_items, true_scores

LIKED: Final = 25.0
"""Clicks per look at an item, over the share of the user's sessions that would begin with it."""
MOST: Final = 0.9
REACTION_STREAM: Final = 9
HOUR: Final = 20
"""Lists are looked at in the evening, in UTC."""


def chance_of_click(liking_LK: Floats, place_K: npt.NDArray[Any]) -> Floats:
    """[L, K]: the place is looked at with probability place^-0.6, as in logged lists, and an item that is looked at is clicked
    with a probability that grows with `liking_LK`, the p of `truth`, up to 0.9."""
    looked_at_K = np.asarray(place_K, dtype=np.float64) ** -EXAMINATION
    result: Floats = looked_at_K * np.minimum(LIKED * liking_LK, MOST)
    return result


def react(root: Location | Path, *, dry_run: bool = False) -> dict[str, Any]:
    """Active users of the day after the newest release look at their lists: a landing file of that day holds an impression of
    each place and the clicks, with the list's id. The same release gives the same bytes. UsageError where the lake was not
    simulated or has released nothing; NothingToDo where the market has no such day."""
    lake = Lake(root)
    release = delta_read.latest_release(lake)
    market = lake.truth / "market.json"
    if release is None or not market.exists():
        raise UsageError(
            f"{lake.root} holds no simulated market with a release", "run `nightrank demo` or `nightrank full` first"
        )
    config = MarketConfig.model_validate(read_json(market))
    day = date.fromisoformat(release.date) + timedelta(days=1)
    number = (day - config.start).days
    if number >= config.days:
        raise NothingToDo(f"the market ends before {day}", f"extend it: nightrank simulate --days {number + 1}")
    today = next(found for found in population.days(config) if found.day == number)
    active = np.unique(today.active(config))
    lists = delta_read.lists_for(lake, today.truth(config).user_id[active].tolist(), release)
    events = _events(lake, config, today, day, lists)
    if not dry_run:
        path = lake.landing_day("events", day) / f"reactions-{release.release_id[:12]}.parquet"
        buffer = io.BytesIO()
        pq.write_table(events, buffer, compression="zstd")
        write_atomic(path, buffer.getvalue())
    count = sum(action == "click" for action in events.column(c.ACTION).to_pylist())
    return {"day": str(day), "lists": len(lists), "impressions": len(events) - count, "clicks": count, "dry_run": dry_run}


def _events(
    lake: Lake, config: MarketConfig, today: population.Population, day: date, lists: dict[str, list[dict[str, Any]]]
) -> pa.Table:
    users, items = today.truth(config), load_items(lake)
    row_of = {str(name): row for row, name in enumerate(users.user_id.tolist())}
    item_of = {str(name): row for row, name in enumerate(items.item_id.tolist())}
    rng = np.random.default_rng([config.seed, REACTION_STREAM, today.day])
    evening = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=HOUR)
    rows: list[dict[str, Any]] = []
    for user, places in sorted(lists.items()):
        liking = true_scores(items, users[[row_of[user]]], day)[0]
        ranks = np.array([place[c.RANK] for place in places])
        chance = chance_of_click(liking[[item_of[place[c.ITEM_ID]] for place in places]], ranks)
        clicked, start = rng.random(len(places)) < chance, evening + timedelta(seconds=float(rng.random() * 3_000))
        for place, is_clicked in zip(places, clicked.tolist(), strict=True):
            rows += [_event(user, place, "impression", start)]
            rows += [_event(user, place, "click", start + timedelta(seconds=10 * place[c.RANK]))] * is_clicked
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schemas.LANDING_EVENTS]
    return pa.Table.from_arrays(columns, schema=schemas.LANDING_EVENTS)


def _event(user: str, place: dict[str, Any], action: str, time: datetime) -> dict[str, Any]:
    return {
        c.EVENT_ID: f"r-{place[c.LIST_ID]}-{place[c.RANK]}-{action}",
        c.USER_ID: user,
        c.ITEM_ID: place[c.ITEM_ID],
        c.ACTION: action,
        c.EVENT_TIME: time,
        c.POSITION: place[c.RANK],
        c.PROPENSITY: float(place[c.RANK]) ** -EXAMINATION,
        c.LIST_ID: place[c.LIST_ID],
    }
