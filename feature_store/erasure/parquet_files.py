"""A Parquet file without a user: found by its few columns, rewritten row group by row group under the same name."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.erasure import cells
from nightrank.feature_store.erasure.user import ErasedUser

ARROW_SCHEMA = b"ARROW:schema"


@dataclass(frozen=True)
class Found:
    """What of the user is in a file: rows to remove, cells to replace, and the rows by release where it holds lists."""

    rows: int = 0
    cells: int = 0
    releases: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows or self.cells)


def is_parquet(place: Location) -> bool:
    return place.name.endswith(".parquet")


def find(place: Location, user: ErasedUser) -> Found:
    """Reads the columns that tell, one row group at a time."""
    rows = replaced = 0
    releases: Counter[str] = Counter()
    with place.open() as handle, pq.ParquetFile(handle) as file:
        names = cells.columns_read(file.schema_arrow)
        if not names:
            return Found()
        also = [c.RELEASE_ID] if c.RELEASE_ID in file.schema_arrow.names else []
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=[*names, *also])
            mine, in_vocabulary = cells.rows_of(table.select(names), user), cells.cells_of(table, user)
            rows += _count(mine)
            replaced += 0 if in_vocabulary is None else _count(in_vocabulary)
            if also and _count(mine):
                releases.update(table.filter(mine)[c.RELEASE_ID].drop_null().to_pylist())
    return Found(rows, replaced, tuple(sorted(releases.items())))


def rewrite(place: Location, user: ErasedUser) -> None:
    """The file holds nothing of the user afterwards: the same columns, row groups, order and compression without his rows."""
    with tempfile.TemporaryDirectory(prefix="nightrank-erase-") as folder:
        draft = Path(folder) / "draft.parquet"
        with (
            place.open() as handle,
            pq.ParquetFile(handle) as file,
            pq.ParquetWriter(draft, file.schema_arrow, **_form(file)) as writer,
        ):
            for group in range(file.num_row_groups):
                kept = cells.without(file.read_row_group(group), user)
                if kept.num_rows:
                    writer.write_table(kept, row_group_size=kept.num_rows)
        place.upload(draft)
    # Hadoop's checksum of the old bytes, which it would hold against the new ones.
    place.with_name(f".{place.name}.crc").unlink()


def _form(file: pq.ParquetFile) -> dict[str, object]:
    """How the file was written, so that its readers see the types they saw before."""
    physical = {file.schema.column(index).physical_type for index in range(len(file.schema))}
    codec = "snappy"
    if file.num_row_groups and file.metadata.num_columns:
        codec = file.metadata.row_group(0).column(0).compression.lower()
    return {
        "compression": "none" if codec == "uncompressed" else codec,
        "use_deprecated_int96_timestamps": "INT96" in physical,
        "store_schema": ARROW_SCHEMA in (file.metadata.metadata or {}),
    }


def _count(flags: pa.ChunkedArray) -> int:
    return int(pc.sum(flags).as_py() or 0)
