"""Freezing table versions into a DatasetSnapshot: the pinned files, read from the Delta log without a JVM."""

import os

import pyarrow.parquet as pq
from deltalake import DeltaTable

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Part, PinnedFile
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location


def pin(lake: Lake, name: str, version: int) -> Part:
    """The files of one version with the rows of each of their row groups, in path order, which is part order.

    DataContractError where a reader of bare Parquet files would not see what the version holds.
    """
    table = delta_read.open_table(lake, name, version)
    _refuse_what_files_do_not_tell(table, name)
    folder = lake.table(name)
    files = tuple(file for path in delta_read.file_paths(table) if (file := pinned(folder, path)).rows)
    return Part(table=name, version=version, files=files, schema_fingerprint=fingerprint(table))


def fingerprint(table: DeltaTable) -> str:
    """sha256 of the columns' names and types, in order; nullability and comments left out."""
    return sha256_of([[field.name, str(field.type)] for field in table.schema().fields])


def publish(snapshot: DatasetSnapshot, context: StageContext) -> Location:
    """The snapshot is in the lake under its id, and as `snapshot.json` beside the run. Returns the path in the lake."""
    path = context.lake.snapshot(snapshot.id)
    with context.commit():
        snapshot.save(path)
        snapshot.save(context.run_dir / "snapshot.json")
    return path


def pinned(folder: Location, path: str) -> PinnedFile:
    """The file of a table's folder as it is now."""
    with (folder / path).open() as file:
        footer = pq.ParquetFile(file).metadata
        size = file.seek(0, os.SEEK_END)
    groups = tuple(footer.row_group(index).num_rows for index in range(footer.num_row_groups))
    return PinnedFile(path=path, rows=footer.num_rows, row_groups=groups, bytes=size)


def _refuse_what_files_do_not_tell(table: DeltaTable, name: str) -> None:
    metadata = table.metadata()
    faults = []
    if metadata.partition_columns:
        faults.append(f"is partitioned by {', '.join(metadata.partition_columns)}: those columns are not in its files")
    if metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
        faults.append("maps column names: its files call the columns something else")
    if delta_read.has_deletion_vectors(table):
        faults.append("has deletion vectors: its files still hold deleted rows")
    if faults:
        raise DataContractError(
            f"table {name} at version {table.version()} cannot be pinned: it {'; it '.join(faults)}",
            f"write {name} again without that (deletion vectors: REORG TABLE ... APPLY (PURGE))",
        )
