"""How many items of the last catalogue a new one lacks: without `complete: true` those stay on sale, and a user should know."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location

TEXT: Final = (
    "items of the last catalogue are not in this one and stay on sale; say `items: {complete: true}` in the mapping if the "
    "file holds every item there is"
)
PASSING: Final = {c.PRICE, c.AVAILABLE, c.NUMBERS}


def describes(table: pa.Table) -> bool:
    """Whether the rows are a catalogue, not new prices, numbers and stock alone, and do not say that they are all there is."""
    if not table.num_rows or c.FIELDS not in table.column_names:
        return False
    fields = table[c.FIELDS][0].as_py()
    passing = bool(fields) and set(fields) <= PASSING
    return not passing and not table[c.COMPLETE][0].as_py()


def absent(lake: Lake, numbered: list[Location], ids: list[pa.Array]) -> int:
    """How many ids of the newest catalogue in `numbered` (else of all files without a number) are not in `ids`."""
    every = lake.landing("items").glob("day=*/*.parquet")
    before = next(([path] for path in numbered if describes(_read(path))), [path for path in every if path not in numbered])
    known = pa.chunked_array([chunk for path in before for chunk in _read(path)[c.ITEM_ID].chunks], pa.string())
    missing = pc.invert(pc.is_in(pc.unique(known), value_set=pa.chunked_array(ids, pa.string()).combine_chunks()))
    return int(pc.sum(missing).as_py() or 0)


def _read(path: Location) -> pa.Table:
    with path.open() as handle, pq.ParquetFile(handle) as file:
        names = [name for name in (c.ITEM_ID, c.FIELDS, c.COMPLETE) if name in file.schema_arrow.names]
        return file.read(columns=names)
