"""Parquet files, and Delta tables through their file list, in streaming batches. Types are kept as the file has them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.formats import DETECT, Reading
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import BATCH_ROWS, RawBatch
from nightrank.spark_jobs.sources.selection import choose, exploded_table, field_at, root_of


def read(
    file: Path,
    columns: Sequence[str] | None,
    notes: Notes,
    how: Reading = DETECT,
    partitions: dict[str, str | None] | None = None,
) -> Iterator[RawBatch]:
    """Row batches of one file; `partitions` are columns the path holds and the file does not."""
    extra = partitions or {}
    first_row = 1
    try:
        with pq.ParquetFile(file) as parquet:
            present = [*parquet.schema_arrow.names, *(name for name in extra if name not in parquet.schema_arrow.names)]
            wanted = choose(file, present, columns, notes)
            inside = dict.fromkeys(root_of(name, present) for name in [*wanted, *([how.explode] if how.explode else [])])
            for batch in parquet.iter_batches(BATCH_ROWS, columns=[n for n in inside if n not in extra], use_threads=False):
                table = pa.Table.from_batches([batch])
                for name in (name for name in wanted if name in extra):
                    table = table.append_column(name, pa.array([extra[name]] * batch.num_rows, pa.string()))
                yield RawBatch(file, first_row, _selected(table, wanted, how, notes, file))
                first_row += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataContractError(
            f"{file}: not a complete Parquet file (after row {first_row - 1}): {' '.join(str(error).split())[:200]}",
            "the file is truncated or damaged: copy or write it again",
        ) from None


def _selected(table: pa.Table, wanted: list[str], how: Reading, notes: Notes, file: Path) -> pa.Table:
    """The wanted columns; one row an element of the list that the mapping explodes."""
    if how.explode is not None:
        table = exploded_table(table, how.explode, notes, file)
    if all(name in table.column_names for name in wanted):
        return table.select(wanted)
    return pa.table([field_at(table, name, file) for name in wanted], names=wanted)


def read_delta(table: Path, columns: Sequence[str] | None, notes: Notes, how: Reading = DETECT) -> Iterator[RawBatch]:
    """Exactly the files of the table's current version; a Delta folder also holds files of older ones."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        delta = DeltaTable(str(table))
        actions = delta.get_add_actions(flatten=True)
        deleted = delta.deletion_vectors().read_all().num_rows
        mapping = delta.metadata().configuration.get("delta.columnMapping.mode", "none")
    except DeltaError as error:
        raise DataContractError(f"{table}: not a readable Delta table: {error}", "check the path") from None
    if deleted:
        raise DataContractError(
            f"{table}: {deleted} files have deletion vectors, so they still hold deleted rows",
            "run `REORG TABLE ... APPLY (PURGE)` and import again",
        )
    if mapping != "none":
        raise DataContractError(
            f"{table}: the table has column mapping ({mapping})", "copy it into a table without column mapping, and import that"
        )
    for path, partitions in sorted(_files(table, actions), key=lambda pair: pair[0]):
        yield from read(path, columns, notes, how, partitions)


def _files(table: Path, actions: Any) -> Iterator[tuple[Path, dict[str, str | None]]]:
    """Every file of the version, with the partition values that are in the log instead of in the file."""
    names = [name for name in actions.column_names if name.startswith("partition.")]
    cells = {name.removeprefix("partition."): [cell.as_py() for cell in actions.column(name)] for name in names}
    for index, cell in enumerate(actions.column("path")):
        partitions = {name: None if values[index] is None else str(values[index]) for name, values in cells.items()}
        yield _local(table, cell.as_py()), partitions


def _local(table: Path, path: str) -> Path:
    parsed = urlparse(path)
    if parsed.scheme not in ("", "file"):
        raise DataContractError(
            f"{table}: its file {path} is not on this machine", "copy or mount the table and give that path"
        )
    return table / unquote(parsed.path)
