"""Aggregates of users and items as of a day, from counts of days. Pure numpy: training, scoring and serving share it.

An event belongs to the day on which it had happened and become known, the later of the two. A look-up at day d sees the days
before d and nothing of d itself: a window of N days is the difference of two rows of running sums. Shapes: N rows of a table,
C counters, T look-ups, F aggregates.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from nightrank.feature_store.contracts.actions import ACTION_CODES
from nightrank.feature_store.contracts.aggregates import EVENTS, PLUGIN, Aggregate, parse, reads_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.days import days_of
from nightrank.feature_store.derive import derive

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
LONGEST: Final = 365
"""Days since the last event if there was none, and the largest number of days."""
SCALE: Final = 0.25
"""Model inputs are log(1 + value) times this, mostly within [0, 2]."""
_DAY_BITS: Final = 1 << 32
_EPOCH: Final = 1 << 31


class Cumulative:
    """One row an entity and active day: what its counters had summed up to after that day. Sorted by (entity, day).

    In memory 8 bytes a row for entity and day together, and `sums` as it was given (int32 keeps every count exact).
    """

    def __init__(self, entities: npt.NDArray[Any], days: npt.NDArray[Any], sums: npt.NDArray[Any]) -> None:
        self.keys = keys_of(entities, days)
        """int64[N], entity before day."""
        self.sums = sums
        if len(sums) != len(self.keys) or sums.ndim != 2 or not np.all(self.keys[1:] > self.keys[:-1]):
            raise DataContractError(
                f"{len(self.keys)} rows of cumulative sums, shape {sums.shape}, are not one per entity and day, in order",
                "build the training set again",
            )

    @classmethod
    def of_columns(
        cls, entities: npt.NDArray[Any], days: npt.NDArray[Any], counters: Sequence[npt.NDArray[Any]]
    ) -> "Cumulative":
        """The table of one column a counter; none where only days are looked at."""
        sums = np.stack(counters, axis=1) if counters else np.zeros((len(entities), 0), np.int32)
        return cls(entities, days, sums)

    @classmethod
    def of_day_counts(
        cls, entities: npt.NDArray[Any], days: npt.NDArray[Any], counters: Sequence[npt.NDArray[Any]]
    ) -> "Cumulative":
        """The table of what was counted on each day: one row an entity and day, in any order."""
        keys = keys_of(entities, days)
        order = np.argsort(keys, kind="stable")
        counts = [column[order] for column in counters]
        return cls.of_columns(entities[order], days[order], [_running(column, keys[order] >> 32) for column in counts])

    @property
    def entities(self) -> npt.NDArray[np.int32]:
        return (self.keys >> 32).astype(np.int32)

    @property
    def days(self) -> npt.NDArray[np.int32]:
        return _days(self.keys).astype(np.int32)


def keys_of(entities: npt.NDArray[Any], days: npt.NDArray[Any]) -> Ints:
    keys: Ints = entities.astype(np.int64) * _DAY_BITS + (days.astype(np.int64) + _EPOCH)
    return keys


def _days(keys: Ints) -> Ints:
    return (keys & (_DAY_BITS - 1)) - _EPOCH


def from_events(
    entities: npt.NDArray[Any], actions: npt.NDArray[Any], times: Ints, available: Ints, counters: Sequence[str], timezone: str
) -> Cumulative:
    """The table of these events, in any order. Times are microseconds; a day is one of the time zone."""
    keys = keys_of(entities, days_of(np.maximum(times, available), timezone))
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    counted = np.stack([_is(counter, actions[order]) for counter in counters], axis=1) if counters else np.zeros((len(keys), 0))
    sums = np.add.reduceat(counted.astype(np.int64), starts, axis=0) if len(found) else np.zeros((0, len(counters)), np.int64)
    return Cumulative.of_day_counts(found >> 32, _days(found), list(sums.T))


def _running(counts: npt.NDArray[Any], owners: Ints) -> npt.NDArray[np.int32]:
    """[N] the sum of each owner's counts so far; rows of one owner stand together."""
    total = np.cumsum(counts, dtype=np.int64)
    first = np.searchsorted(owners, owners)
    sums: npt.NDArray[np.int32] = (total - (total - counts)[first]).astype(np.int32)
    return sums


def _is(counter: str, actions: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.ones(len(actions), np.bool_) if counter == EVENTS else actions == ACTION_CODES[counter]


def aggregates(
    table: Cumulative, names: Sequence[str], counters: Sequence[str], entity: npt.NDArray[Any], day: npt.NDArray[Any]
) -> Floats:
    """[T, F] model inputs, `scaled`. `counters` name the table's columns."""
    return scaled(values(table, names, counters, entity, day), names)


def scaled(counted: Floats, names: Sequence[str]) -> Floats:
    """[T, F] model inputs: log(1 + value) times SCALE, and what a plug-in derives as it is."""
    own = [name.startswith(PLUGIN) for name in names]
    inputs: Floats = np.log1p(np.where(own, 0, counted)).astype(np.float32) * np.float32(SCALE)
    return np.where(own, counted, inputs)


def values(
    table: Cumulative, names: Sequence[str], counters: Sequence[str], entity: npt.NDArray[Any], day: npt.NDArray[Any]
) -> Floats:
    """[T, F] the aggregates as they are counted, 0 for what is not known; `recency_days` is at most LONGEST, and that where
    nothing happened. DataContractError for a counter that the table lacks."""
    # In order of the keys a look-up reads on where the last one stopped: ten times as fast over millions of rows.
    order = np.argsort(keys_of(entity, day))
    entity, day = entity[order], day[order].astype(np.int64)
    result = np.zeros((len(order), len(names)), np.float32)
    place = _place(table, entity, day)
    windows: dict[int | None, Ints] = {None: _place(table, entity, np.full_like(day, -_EPOCH))}

    def counted(name: str) -> Any:
        wanted = parse(name)
        if wanted.days not in windows:
            windows[wanted.days] = _place(table, entity, day - wanted.days)
        return _value(table, wanted, counters, entity, day, place, windows[wanted.days])

    for column, name in enumerate(names):
        known = {read: counted(read) for read in reads_of(name)}
        result[order, column] = derive(name, known) if name.startswith(PLUGIN) else known[name]
    return result


def _value(
    table: Cumulative, wanted: Aggregate, counters: Sequence[str], entity: npt.NDArray[Any], day: Ints, now: Ints, before: Ints
) -> Any:
    """[T]. `now` and `before` are places of the newest rows before the day and before the window."""
    if wanted.kind == "sum":
        column = _column(wanted.counter, counters)
        return _sums(table, entity, now, column) - _sums(table, entity, before, column)
    if wanted.kind == "active_days":
        return now - before
    if wanted.kind == "age":
        return np.where(now > before, day - _days_at(table, before + 1), 0)
    return np.where(_owns(table, entity, now), np.minimum(day - _days_at(table, now), LONGEST), LONGEST)


def _column(counter: str | None, counters: Sequence[str]) -> int:
    if counter is None or counter not in counters:
        raise DataContractError(f"cumulative sums of {', '.join(counters)} lack {counter}", "build the training set again")
    return list(counters).index(counter)


def _place(table: Cumulative, entity: npt.NDArray[Any], day: npt.NDArray[Any]) -> Ints:
    """[T] the newest row before (entity, day): of the entity, or the last one of those before it."""
    found: Ints = np.searchsorted(table.keys, keys_of(entity, day)) - 1
    return found


def _owns(table: Cumulative, entity: npt.NDArray[Any], place: Ints) -> npt.NDArray[np.bool_]:
    if not len(table.keys):
        return np.zeros(len(place), np.bool_)
    owns: npt.NDArray[np.bool_] = (place >= 0) & (table.keys[np.maximum(place, 0)] >> 32 == entity)
    return owns


def _sums(table: Cumulative, entity: npt.NDArray[Any], place: Ints, column: int) -> Any:
    sums = table.sums[:, column]
    return sums[np.maximum(place, 0)] * _owns(table, entity, place) if len(sums) else np.zeros(len(place), sums.dtype)


def _days_at(table: Cumulative, place: Ints) -> Ints:
    if not len(table.keys):
        return np.zeros(len(place), np.int64)
    return _days(table.keys[np.clip(place, 0, len(table.keys) - 1)])
