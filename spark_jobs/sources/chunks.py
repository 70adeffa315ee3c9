"""What a reader hands to the import: pieces of landing tables, and how they are placed by arrival day."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import LandingKind
from nightrank.feature_store.contracts.schemas import TIMESTAMP
from nightrank.spark_jobs.sources.formats import IdType
from nightrank.spark_jobs.sources.landing import LandingWriter
from nightrank.spark_jobs.sources.times import EPOCH, days, start_of

Clock = Literal["real", "position"]
POSITION_DAY: Final = EPOCH.date()


@dataclass(frozen=True)
class Chunk:
    """Rows of one landing table in its schema; `faulty` of them lack something that could not be read."""

    kind: LandingKind
    table: pa.Table
    faulty: int = 0


@dataclass(frozen=True)
class Source:
    """An opened input. `chunks` yields all events before any item or user: those may arrive with the first event day."""

    name: str
    clock: Clock
    id_type: IdType
    chunks: Iterator[Chunk]
    states: frozenset[LandingKind] = frozenset()
    """Kinds that have no dates of their own (`nightrank.spark_jobs.sources.states`)."""


@dataclass
class PositionClock:
    """Event times for a log without a clock: the epoch plus one second per event of the user, in the order of the rows."""

    seen: dict[str | None, int] = field(default_factory=dict)

    def times(self, users: pa.Array) -> pa.Array:
        encoded = users.dictionary_encode(null_encoding="encode")
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        names = encoded.dictionary.to_pylist()
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(names))
        starts = np.cumsum(counts) - counts
        within = np.empty(len(codes), np.int64)
        within[order] = np.arange(len(codes)) - np.repeat(starts, counts)
        before = np.array([self.seen.get(name, 0) for name in names], np.int64)
        for name, count in zip(names, counts.tolist(), strict=True):
            self.seen[name] = self.seen.get(name, 0) + count
        return pa.array((within + before[codes]) * 1_000_000, pa.int64()).cast(TIMESTAMP)


def place(writer: LandingWriter, chunk: Chunk, clock: Clock, timezone: str, now: datetime) -> None:
    """Every row of the chunk to its arrival day. Rows without a credible time (none, before 1970, after `now`) wait."""
    if clock == "position":
        writer.add(chunk.kind, POSITION_DAY, chunk.table)
        return
    first = min(writer.days("events"), default=None)
    arrival = _arrival(chunk, first, timezone)
    credible = pc.and_(
        pc.less_equal(arrival, pa.scalar(now, TIMESTAMP)), pc.greater_equal(arrival, pa.scalar(EPOCH, TIMESTAMP))
    )
    known = pc.if_else(pc.fill_null(credible, False), arrival, pa.scalar(None, TIMESTAMP))
    for day, rows in _groups(days(known, timezone)):
        writer.add(chunk.kind, day if day is not None or chunk.kind == "events" else first, chunk.table.take(rows))


def _arrival(chunk: Chunk, first: date | None, timezone: str) -> pa.Array:
    """When each row arrived: its availability; else its event time; items and users not before the first event day."""
    names = (c.AVAILABILITY_TIME, c.EVENT_TIME, c.CREATED)
    moments = [chunk.table.column(name) for name in names if name in chunk.table.column_names]
    arrival = pc.coalesce(*moments).combine_chunks()
    if chunk.kind == "events" or first is None:
        return arrival
    opening = pa.scalar(start_of(first, timezone), TIMESTAMP)
    return pc.if_else(pc.less(arrival, opening), opening, arrival)


def _groups(day: pa.Array) -> Iterator[tuple[date | None, pa.Array]]:
    """(day, row numbers in order) for every day of the column, oldest first, null last."""
    numbers = pc.fill_null(pc.cast(day, pa.int32()), 2**31 - 1).to_numpy(zero_copy_only=False)
    order = np.argsort(numbers, kind="stable")
    values, starts = np.unique(numbers[order], return_index=True)
    for value, rows in zip(values.tolist(), np.split(order, starts[1:]), strict=True):
        yield None if value == 2**31 - 1 else date.fromordinal(POSITION_DAY.toordinal() + value), pa.array(rows)
