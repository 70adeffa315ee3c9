"""What goes wrong between a shop and its log: late rows, rows sent twice, broken rows."""

from datetime import date, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.pipeline.simulate.config import MarketConfig
from nightrank.pipeline.simulate.truth import Ints

FAULT_STREAM: Final = 7
DAY_MICROS: Final = 86_400_000_000
LATEST: Final = 3
"""Days a late row may take."""
FUTURE: Final = timedelta(days=400)
Arrivals = dict[date, list[pa.Table]]


def deliver(config: MarketConfig, day: int, events: pa.Table) -> tuple[Arrivals, dict[str, int]]:
    """The day's events by the day they land, with everything that goes wrong, and how much of each went wrong."""
    rng = np.random.default_rng([config.seed, FAULT_STREAM, day])
    today = config.start + timedelta(days=day)
    luck = rng.random(len(events))
    delay = rng.integers(1, LATEST * DAY_MICROS, len(events))
    late = luck < config.late_share
    twice = (luck >= config.late_share) & (luck < config.late_share + config.duplicate_share)
    tomorrow = rng.random(len(events)) < 0.5
    arrivals: Arrivals = {today: [events.filter(pa.array(~late))]}
    _add(arrivals, today, events.filter(pa.array(twice & ~tomorrow)))
    _add(arrivals, today + timedelta(days=1), events.filter(pa.array(twice & tomorrow)))
    for landing, table in _delayed(events.filter(pa.array(late)), delay[late]):
        _add(arrivals, landing, table)
    broken = _broken(rng, config, day, events)
    _add(arrivals, today, broken)
    return arrivals, {"late": int(late.sum()), "duplicates": int(twice.sum()), "broken": len(broken)}


def _add(arrivals: Arrivals, day: date, table: pa.Table) -> None:
    if len(table):
        arrivals.setdefault(day, []).append(table)


def _delayed(events: pa.Table, delay: Ints) -> list[tuple[date, pa.Table]]:
    """Rows that become available some hours to three days later and land on that day; those of the same day stay on it."""
    moments = pc.add(pc.cast(events.column(c.EVENT_TIME), pa.int64()), pa.array(delay)).cast(schemas.TIMESTAMP)
    table = events.set_column(events.schema.get_field_index(c.AVAILABILITY_TIME), c.AVAILABILITY_TIME, moments)
    days = pc.cast(pc.cast(moments, pa.timestamp("us")), pa.date32(), safe=False)
    return [(day, table.filter(pc.equal(days, day))) for day in sorted(pc.unique(days).to_pylist())]


def _broken(rng: np.random.Generator, config: MarketConfig, day: int, events: pa.Table) -> pa.Table:
    """Extra rows, each a copy with one fault and an id of its own, so that the true events stay as they are."""
    count = rng.binomial(len(events), config.broken_share)
    table = events.take(pa.array(rng.integers(max(len(events), 1), size=count)))
    kind = np.arange(count) % (5 if config.id_type == "int64" else 4)
    ids = pa.array([f"x{day:04d}-{number:05d}" for number in range(count)], pa.string())
    moved = pc.add(table.column(c.EVENT_TIME), pa.scalar(FUTURE))
    faults = {
        c.USER_ID: (0, pa.scalar(None, pa.string())),
        c.ITEM_ID: (1, pa.scalar(None, pa.string())),
        c.VALUE: (2, pa.scalar(float("nan"))),
        c.EVENT_TIME: (3, moved),
    }
    table = _replaced(table, c.EVENT_ID, ids)
    for name, (number, fault) in faults.items():
        table = _replaced(table, name, pc.if_else(pa.array(kind == number), fault, table.column(name)))
    # Only where ids are integers is there an id that is none.
    return _replaced(table, c.USER_ID, pc.if_else(pa.array(kind == 4), "not-a-number", table.column(c.USER_ID)))


def _replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values).cast(schemas.LANDING_EVENTS)
