"""Landing days of a shop that grows slowly: the same number of events every day, written with numpy and Arrow, no Spark."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.lake import Lake

FIRST: Final = date(2025, 1, 1)
USERS, USERS_A_DAY = 40_000, 200
ITEMS, ITEMS_A_DAY = 10_000, 20
VISITORS: Final = 20_000
"""At most so many different users a day."""
ACTIONS: Final = ("view", "click", "cart", "purchase")
SHARES: Final = (0.8, 0.12, 0.05, 0.03)
LATE: Final = 0.01
"""Share of a landing day's events that happened on the day before."""
_MICROS: Final = 1_000_000
_DAY: Final = 86_400 * _MICROS
Ints = npt.NDArray[np.int64]


def day_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def land(lake: Lake, first: int, days: int, events: int, seed: int) -> None:
    """`days` landing days from day `first` on, of `events` each, are in the lake, with the items that each day brought."""
    lake.landing_meta_path.path.parent.mkdir(parents=True, exist_ok=True)
    meta = {"clock": "real", "id_type": "string", "source": "benchmark", "timezone": "UTC"}
    lake.landing_meta_path.path.write_text(json.dumps(meta))
    for number in range(first, first + days):
        _write(lake, "items", number, items_of(number))
        _write(lake, "events", number, events_of(number, events, seed))


def events_of(number: int, events: int, seed: int) -> pa.Table:
    """LANDING_EVENTS of one landing day, in order of their time."""
    rng = np.random.default_rng([seed, number])
    users = rng.integers(USERS + USERS_A_DAY * number, size=VISITORS)[_skewed(rng, VISITORS, events, 1.5)]
    items = _skewed(rng, ITEMS + ITEMS_A_DAY * number, events, 2.5)
    day = number - (rng.random(events) < LATE).astype(np.int64) * (number > 0)
    times = _start(0) + day * _DAY + np.sort(rng.integers(_DAY // _MICROS, size=events)) * _MICROS
    columns = {
        c.EVENT_ID: _named(f"{number}-", np.arange(events)),
        c.USER_ID: _named("u", users),
        c.ITEM_ID: _named("i", items),
        c.ACTION: pa.array(ACTIONS).take(pa.array(rng.choice(len(ACTIONS), events, p=SHARES))),
        c.EVENT_TIME: pa.array(times, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")),
    }
    return _conformed(columns, schemas.LANDING_EVENTS, events)


def items_of(number: int) -> pa.Table:
    """LANDING_ITEMS: all there are on the first day, then those that are new."""
    first = 0 if number == 0 else ITEMS + ITEMS_A_DAY * (number - 1)
    ids = np.arange(first, ITEMS + ITEMS_A_DAY * number)
    columns = {
        c.ITEM_ID: _named("i", ids),
        c.TITLE: _named("title ", ids),
        c.CATEGORIES: pa.array([[f"c{item % 50}"] for item in ids], pa.list_(pa.string())),
        c.PRICE: pa.array(1.0 + ids % 90, pa.float64()),
    }
    return _conformed(columns, schemas.LANDING_ITEMS, len(ids))


def _skewed(rng: np.random.Generator, upto: int, size: int, power: float) -> Ints:
    """Numbers below `upto`, low ones more often."""
    drawn: Ints = (upto * rng.random(size) ** power).astype(np.int64)
    return drawn


def _named(prefix: str, ids: Ints) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(ids).cast(pa.string()), "")


def _start(number: int) -> int:
    start = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC)
    return int(start.timestamp()) * _MICROS + number * _DAY


def _conformed(columns: dict[str, Any], schema: pa.Schema, rows: int) -> pa.Table:
    found = [columns.get(field.name, pa.nulls(rows, field.type)) for field in schema]
    return pa.table(found, names=schema.names).cast(schema)


def _write(lake: Lake, kind: Any, number: int, table: pa.Table) -> None:
    if len(table):
        folder = lake.landing_day(kind, day_of(number)).path
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "part-0.parquet")
