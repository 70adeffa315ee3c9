"""AggregateSums: where a served click ranker looks up numbers such as `user_count_7d`. Shapes: B rows, F aggregates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightrank.feature_store.as_of import Cumulative, aggregates
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import PREFIXES, counters_of, named_by_rows
from nightrank.feature_store.days import MICROS, days_of
from nightrank.ranker.ctr.codes import column_of

Floats = npt.NDArray[np.float32]
_DAY: Final = 86_400 * MICROS


@dataclass(frozen=True)
class EntitySums:
    """Entity n of `table` is the one whose raw id stands at n in `raw_ids`; the table's columns are `counters`."""

    raw_ids: pa.Array
    table: Cumulative
    counters: tuple[str, ...]

    @classmethod
    def of_dense(cls, table: Cumulative, raw_ids: list[str], counters: tuple[str, ...]) -> "EntitySums":
        """From a table by dense id; raw id of dense id i stands at i - 1. Ids without an event are left out."""
        found, place = np.unique(table.entities, return_inverse=True)
        named = pa.array([raw_ids[dense - 1] for dense in found.tolist()], pa.string())
        return cls(named, Cumulative(place, table.days, table.sums), counters)

    def numbers(self, raw_B: pa.Array, days_B: npt.NDArray[np.int64], names: tuple[str, ...]) -> Floats:
        """[B, F] as of those days; what has no sums is as what had no event."""
        known = pc.fill_null(pc.index_in(raw_B, value_set=self.raw_ids), len(self.raw_ids))
        places = known.to_numpy(zero_copy_only=False).astype(np.int64)
        return aggregates(self.table, names, self.counters, places, days_B)


@dataclass(frozen=True)
class AggregateSums:
    """`of` has the entities (`user`, `item`) whose aggregates a ranker reads. A day is one of `timezone`."""

    timezone: str
    of: Mapping[str, EntitySums]

    @property
    def newest(self) -> int:
        """A moment (microseconds) on the day after the newest event."""
        days = [int(sums.table.days.max()) for sums in self.of.values() if len(sums.table.keys)]
        return (max(days, default=0) + 2) * _DAY

    def numbers(self, table: pa.Table, numbers: Iterable[str]) -> dict[str, Floats]:
        """[B] of each aggregate among `numbers` for rows with raw ids `user` and `item` and the moment `event_time`: NaN where
        the moment is null. DataContractError for a column that the table does not have."""
        numbers, found = tuple(numbers), dict[str, Floats]()
        for entity, names in named_by_rows(numbers).items():
            moments = _moments(column_of(table, c.EVENT_TIME, "moment"))
            known = moments.is_valid().to_numpy(zero_copy_only=False)
            days = days_of(moments.drop_null().to_numpy(zero_copy_only=False), self.timezone)
            raw = column_of(table, entity, "column").cast(pa.string()).combine_chunks().filter(pa.array(known))
            values = np.full((len(known), len(names)), np.nan, np.float32)
            values[known] = self.of[entity].numbers(raw, days, names)
            found |= {f"{PREFIXES[entity]}{name}": values[:, place] for place, name in enumerate(names)}
        return found

    def to_table(self) -> pa.Table:
        """One row an entity and day: its kind and raw id, the day, its counters; those its kind does not have are null."""
        every = counters_of(f"{name}_all" for sums in self.of.values() for name in sums.counters)
        parts = []
        for entity, sums in self.of.items():
            at = {name: sums.table.sums[:, place] for place, name in enumerate(sums.counters)}
            nulls = pa.nulls(len(sums.table.keys), pa.int32())
            columns: dict[str, Any] = {
                c.KIND: pa.array([entity] * len(nulls), pa.string()),
                c.RAW_ID: sums.raw_ids.take(pa.array(sums.table.entities)),
                c.DAY: pa.array(sums.table.days),
            }
            parts.append(pa.table({**columns, **{name: pa.array(at[name]) if name in at else nulls for name in every}}))
        return pa.concat_tables(parts)

    @classmethod
    def from_table(cls, table: pa.Table, numbers: Iterable[str], timezone: str) -> "AggregateSums":
        """What `to_table` gave, for the aggregates among `numbers`."""
        found = {}
        for entity, names in named_by_rows(numbers).items():
            rows = table.filter(pc.equal(table[c.KIND], entity)).combine_chunks()
            coded = pa.concat_arrays([*rows[c.RAW_ID].chunks, pa.array([], pa.string())]).dictionary_encode()
            counters = counters_of(names)
            sums = Cumulative.of_columns(
                coded.indices.to_numpy(), rows[c.DAY].to_numpy(), [rows[name].to_numpy() for name in counters]
            )
            found[entity] = EntitySums(coded.dictionary, sums, counters)
        return cls(timezone, found)


def _moments(column: pa.ChunkedArray) -> pa.Array:
    """Microseconds since the epoch, from whole numbers or timestamps."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column.cast(pa.int64()).combine_chunks()
