"""Are the pinned files still what the snapshot says? Sizes, footers and column types, checked before a row is read."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Part, PartName, PinnedFile
from nightrank.feature_store.contracts.storage import Entry, Location
from nightrank.feature_store.contracts.storage.node_cache import node_cache

REMEDY = "restore the file, or build the training set again (stage build_training_set)"


def part_of(snapshot: DatasetSnapshot, name: PartName) -> Part:
    """The snapshot's part; DataContractError if it has none of that name."""
    if name not in snapshot.parts:
        raise DataContractError(
            f"snapshot {snapshot.id[:12]} has no part {name} (it has {', '.join(sorted(snapshot.parts))})",
            "a night has no refit, valid and test parts; check the kind of the run",
        )
    return snapshot.parts[name]


def pinned_paths(part: Part, root: Location) -> list[Path]:
    """Where this machine has the pinned files: in the lake itself, or copies of a bucket's in the node's cache.

    DataContractError where a bucket lacks one. On a disk `check_part` looks for that.
    """
    folder = Lake(root).table(part.table)
    return [_local(folder / file.path, file) for file in part.files]


def files_of(part: Part, root: Location) -> list[tuple[Path, int]]:
    """Every file of the part with its number of row groups: what a reader is given."""
    return [(path, len(file.row_groups)) for path, file in zip(pinned_paths(part, root), part.files, strict=True)]


def row_groups_of(part: Part) -> tuple[int, ...]:
    """Rows of every row group of the part, in the order of its files: what a ReadPlan is made of."""
    return tuple(rows for file in part.files for rows in file.row_groups)


def check_part(part: Part, root: Location, schema: pa.Schema) -> None:
    """Nothing, if every pinned file is there and complete with the pinned row groups and at least `schema`'s columns in its
    types; DataContractError naming the file otherwise. Costs one footer a file."""
    for file, path in zip(part.files, pinned_paths(part, root), strict=True):
        metadata = _footer(file, path)
        groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        if groups != file.row_groups:
            raise DataContractError(f"pinned file {path} has row groups {groups}, the snapshot says {file.row_groups}", REMEDY)
        _check_columns(path, metadata.schema.to_arrow_schema(), schema)


def unreadable(paths: Sequence[Path], error: Exception) -> DataContractError:
    """What a reader raises where one of `paths` could not be read; it names the one that is not whole, if a footer tells."""
    named = [path for path in paths if not _is_whole(path)] or list(paths)
    return DataContractError(f"pinned file {named[0]} is missing or incomplete: {error}", REMEDY)


def no_row_group(path: Path, group: int) -> DataContractError:
    return DataContractError(f"pinned file {path} has no row group {group}", REMEDY)


def _local(place: Location, file: PinnedFile) -> Path:
    """A file of a Delta table is never written again, so its name and size say which content it has."""
    if place.is_local:
        return place.path
    try:
        return node_cache().local_copy(place, Entry(place.key, file.bytes, 0.0, "pinned"))
    except FileNotFoundError:
        raise DataContractError(f"pinned file {place} is missing", REMEDY) from None


def _is_whole(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return False
    return True


def _footer(file: PinnedFile, path: Path) -> pq.FileMetaData:
    if not path.exists():
        raise DataContractError(f"pinned file {path} is missing", REMEDY)
    size = path.stat().st_size
    if size != file.bytes:
        raise DataContractError(f"pinned file {path} has {size} bytes, the snapshot says {file.bytes}", REMEDY)
    try:
        return pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise DataContractError(f"pinned file {path} is not readable Parquet: {error}", REMEDY) from None


def _check_columns(path: Path, found: pa.Schema, wanted: pa.Schema) -> None:
    for field in wanted:
        if field.name not in found.names:
            raise DataContractError(f"pinned file {path} has no column {field.name}", REMEDY)
        kind = found.field(field.name).type
        if not _same_type(kind, field.type):
            raise DataContractError(f"pinned file {path}: column {field.name} is {kind}, not {field.type}", REMEDY)


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Equal types; a list's item may be called otherwise, as Spark does."""
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return bool(found.value_type == wanted.value_type)
    return bool(found == wanted)
