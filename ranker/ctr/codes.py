"""Raw values of categorical fields to codes and back. Shapes: N rows, F fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.ctr.config import FieldShape


@dataclass(frozen=True)
class FieldCodes:
    """The values each field had in training, as text, in the order of their codes from 1. Everything else is code 0."""

    values: dict[str, pa.Array]

    @classmethod
    def fit(cls, table: pa.Table, fields: Sequence[str], at_least: int = 1) -> "FieldCodes":
        """Codes for values that are in at least so many rows, sorted as text: the same for the same rows in any order."""
        values = {}
        for name in fields:
            counted = pc.value_counts(_column(table, name))
            kept = counted.field("values").filter(pc.greater_equal(counted.field("counts"), at_least)).drop_null()
            values[name] = kept.take(pc.sort_indices(kept))
        return cls(values)

    @property
    def shapes(self) -> tuple[FieldShape, ...]:
        return tuple(FieldShape(name=name, size=len(known) + 1) for name, known in self.values.items())

    def encode(self, table: pa.Table) -> NDArray[np.int64]:
        """[N, F]. DataContractError for a table without one of the fields."""
        codes_NF = np.zeros((table.num_rows, len(self.values)), dtype=np.int64)
        for place, (name, known) in enumerate(self.values.items()):
            found = pc.index_in(_column(table, name), value_set=known)
            codes_NF[:, place] = pc.add(pc.fill_null(found, -1), 1).to_numpy(zero_copy_only=False)
        return codes_NF

    def to_table(self) -> pa.Table:
        """One row a value: field, raw id, code."""
        names: list[str] = [name for name, known in self.values.items() for _ in range(len(known))]
        codes: list[int] = [code for known in self.values.values() for code in range(1, len(known) + 1)]
        raw: list[Any] = [value for known in self.values.values() for value in known.to_pylist()]
        columns = {c.FIELD: pa.array(names, pa.string()), c.RAW_ID: pa.array(raw, pa.string())}
        return pa.table({**columns, c.DENSE_ID: pa.array(codes, pa.int32())})

    @classmethod
    def from_table(cls, table: pa.Table, shapes: Sequence[FieldShape]) -> "FieldCodes":
        """What `to_table` gave; DataContractError where a field's codes are not 1..size - 1 in order."""
        values = {}
        for shape in shapes:
            rows = table.filter(pc.equal(table[c.FIELD], shape.name))
            if rows[c.DENSE_ID].to_pylist() != list(range(1, shape.size)):
                raise DataContractError(
                    f"field {shape.name} does not hold the codes 1..{shape.size - 1} in order", "download the bundle again"
                )
            values[shape.name] = rows[c.RAW_ID].combine_chunks()
        return cls(values)


def _column(table: pa.Table, name: str) -> pa.Array:
    return column_of(table, name, "field").cast(pa.string()).combine_chunks()


def column_of(table: pa.Table, name: str, what: str) -> pa.ChunkedArray:
    """DataContractError where the table has no such column."""
    if name not in table.column_names:
        raise DataContractError(f"impressions without the {what} {name}", f"they have {', '.join(table.column_names)}")
    return table[name]
