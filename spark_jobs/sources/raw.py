"""A batch as its file has it, and the families of types that a column may not change between."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from nightrank.feature_store.contracts.errors import DataContractError

Family = Literal["text", "integer", "float", "boolean", "time", "list", "map", "binary", "null", "decimal"]
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class RawBatch:
    """Some rows of one file. `first_row` is the number of the first one, counted as an editor counts lines for text files."""

    file: Path
    first_row: int
    table: pa.Table
    families: dict[str, Family] = field(default_factory=dict)
    """Overrides the Arrow type where a text format knows better: JSON numbers travel as text, to lose no digit."""

    def column(self, name: str) -> "RawColumn":
        chunked = self.table.column(name)
        values = (
            chunked.chunk(0) if chunked.num_chunks == 1 else pa.concat_arrays(chunked.chunks or [pa.array([], chunked.type)])
        )
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        return RawColumn(name, values, self.families.get(name) or family_of(values.type), self.file, self.first_row)

    def missing(self, name: str) -> DataContractError:
        return missing(self.file, [name], self.table.column_names)


@dataclass(frozen=True)
class RawColumn:
    """One column of a batch and where it stands, for error messages."""

    name: str
    values: pa.Array
    family: Family
    file: Path
    first_row: int

    def refuse(self, what: str, remedy: str, index: int | None = None) -> DataContractError:
        row = "" if index is None else f", row {self.first_row + index}"
        return DataContractError(f"{self.file}: column {self.name}{row}: {what}", remedy)


def family_of(kind: pa.DataType) -> Family:
    if pa.types.is_dictionary(kind):
        return family_of(kind.value_type)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "float"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "time"
    if pa.types.is_decimal(kind):
        return "decimal"
    if pa.types.is_map(kind) or pa.types.is_struct(kind):
        return "map"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "list"
    return "null" if pa.types.is_null(kind) else "binary"


def missing(file: Path, names: Sequence[str], present: Sequence[str]) -> DataContractError:
    return DataContractError(
        f"{file}: column {', '.join(names)} is missing; the file has {', '.join(present) or 'no columns'}",
        "name the right column in the mapping (conf/mapping-example.yaml), or write the file again with it",
    )
