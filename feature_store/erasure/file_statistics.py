"""Delta's statistics of one file, measured again in the form that its log had them."""

import json
from datetime import date, datetime
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.storage import Location

LONGEST: Final = 32
"""Delta keeps so many characters of a text; a longer one gets no bound here."""


def statistics(place: Location, before: dict[str, Any]) -> dict[str, Any]:
    """Rows, nulls, smallest and largest values of the columns that `before` has. A bound that cannot be written exactly is left
    out, which keeps readers from skipping the file."""
    smallest, largest, nulls = (before.get(name) or {} for name in ("minValues", "maxValues", "nullCount"))
    flat = [name for name in {*smallest, *largest, *nulls} if not isinstance(nulls.get(name), dict)]
    with place.open() as handle, pq.ParquetFile(handle) as file:
        there = [name for name in flat if name in file.schema_arrow.names]
        rows = file.metadata.num_rows
        table = file.read(columns=there) if there else pa.table({})
    body: dict[str, Any] = {"numRecords": rows, "minValues": {}, "maxValues": {}}
    for name in (name for name in table.column_names if name in smallest or name in largest):
        bounds = _bounds(table[name], smallest.get(name), largest.get(name)) if rows else None
        if bounds is not None:
            body["minValues"][name], body["maxValues"][name] = bounds
    body["nullCount"] = {name: table[name].null_count for name in table.column_names if name in nulls}
    if "tightBounds" in before:
        body["tightBounds"] = before["tightBounds"]
    return body


def _bounds(column: pa.ChunkedArray, low: Any, high: Any) -> tuple[Any, Any] | None:
    if pa.types.is_timestamp(column.type):
        # A remaining time is within the earlier bounds, which are in the log's own form.
        return (low, high) if low is not None and high is not None else None
    if pa.types.is_nested(column.type) or pa.types.is_boolean(column.type):
        return None
    found = pc.min_max(column).as_py()
    pair = (_written(found["min"]), _written(found["max"]))
    return None if None in pair else pair


def _written(value: Any) -> Any:
    """As JSON has it; None where it has no such value."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        return value if len(value) <= LONGEST else None
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return value
