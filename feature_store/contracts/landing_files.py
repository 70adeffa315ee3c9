"""What landed: which files, and whether each keeps its contract. Only footers are read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.contracts.storage import Entry, Location

SCHEMAS: Final[dict[LandingKind, pa.Schema]] = {
    "events": schemas.LANDING_EVENTS,
    "items": schemas.LANDING_ITEMS,
    "users": schemas.LANDING_USERS,
}
OPTIONAL: Final = {c.AVAILABLE, c.COMPLETE, c.FIELDS, c.NUMBERS}
"""Columns of a contract that a file may lack; they are null then."""
REMEDY: Final = "import or write the file again; nothing of this day was taken in"


@dataclass(frozen=True)
class Landed:
    """The files of one kind for some days. Every one of them keeps its contract."""

    kind: LandingKind
    entries: tuple[tuple[Location, Entry], ...]
    rows: int

    @property
    def files(self) -> tuple[Location, ...]:
        return tuple(path for path, _ in self.entries)

    @property
    def bytes(self) -> int:
        return sum(entry.size for _, entry in self.entries)

    @property
    def fingerprint(self) -> str:
        """Changes when a file is added, removed or written again."""
        return sha256_of([[str(path), entry.size, entry.tag] for path, entry in self.entries])


def checked(lake: Lake, kind: LandingKind, days: Iterable[date]) -> Landed:
    """The kind's files on these days. DataContractError names the file and column that break the landing schema."""
    entries = landing_entries(lake, kind, days)
    return Landed(kind, tuple(entries), sum(_checked_rows(path, SCHEMAS[kind]) for path, _ in entries))


def faults(lake: Lake, kind: LandingKind, days: Iterable[date]) -> list[str]:
    """What is wrong with each of the kind's files on these days that breaks its contract."""
    found = []
    for path in landing_files(lake, kind, days):
        try:
            _checked_rows(path, SCHEMAS[kind])
        except DataContractError as error:
            found.append(error.message)
    return found


def day_of(path: Location) -> date:
    """The landing day that the file is of."""
    return date.fromisoformat(path.parent.name.removeprefix("day="))


def landing_files(lake: Lake, kind: LandingKind, days: Iterable[date]) -> list[Location]:
    return [path for path, _ in landing_entries(lake, kind, days)]


def landing_entries(lake: Lake, kind: LandingKind, days: Iterable[date]) -> list[tuple[Location, Entry]]:
    """The files with what one listing a day says of them. A folder with the name of a file is among them: ingest names it."""
    found = [pair for day in days for pair in lake.landing_day(kind, day).listing() if pair[0].suffix == ".parquet"]
    # Spark does not read hidden files either: they are what a writer has not finished.
    shown = [(path, entry) for path, entry in found if not path.name.startswith((".", "_"))]
    return [(path, entry or Entry(path.key, 0, 0.0, "folder")) for path, entry in shown]


def identities(lake: Lake, found: Iterable[tuple[Location, Entry]]) -> list[tuple[str, int, str]]:
    """(path in the lake, bytes, tag) of each file. On a disk the tag is the time of change, in a bucket the store's own mark of
    the content.

    As `make` does, by what the storage says: hashing years of files for every look would cost more than taking a file in
    again whose rows are there already.
    """
    return [(path.below(lake.root), entry.size, entry.tag) for path, entry in found]


def has_rows(path: Location) -> bool:
    """A file that cannot be read counts: ingest names its fault."""
    try:
        with path.open() as file:
            return bool(pq.read_metadata(file).num_rows)
    except (pa.ArrowException, OSError):
        return True


def any_rows(lake: Lake, kind: LandingKind, day: date) -> bool:
    """A file of the kind landed on that day, and is not empty."""
    return any(map(has_rows, landing_files(lake, kind, [day])))


def _checked_rows(path: Location, expected: pa.Schema) -> int:
    try:
        with path.open() as handle, pq.ParquetFile(handle) as file:
            found, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise DataContractError(f"{path}: not a complete Parquet file ({str(error).splitlines()[0]})", REMEDY) from None
    _check_columns(path, found, expected)
    return int(rows)


def _check_columns(path: Location, found: pa.Schema, expected: pa.Schema) -> None:
    missing = [name for name in expected.names if name not in found.names and name not in OPTIONAL]
    extra = [name for name in found.names if name not in expected.names]
    if missing:
        raise DataContractError(f"{path}: column {', '.join(missing)} is missing", REMEDY)
    if extra:
        raise DataContractError(f"{path}: column {', '.join(extra)} is not in the contract", REMEDY)
    for field in (field for field in expected if field.name in found.names):
        kind = found.field(field.name).type
        if not _same(kind, field.type):
            raise DataContractError(f"{path}: column {field.name} is {kind}, the contract says {field.type}", REMEDY)


def _same(found: pa.DataType, expected: pa.DataType) -> bool:
    """Equal for Spark's reader: names inside lists and maps, large offsets and dictionaries do not matter, nor ms for us."""
    if pa.types.is_dictionary(found):
        return _same(found.value_type, expected)
    if pa.types.is_string(expected):
        return bool(pa.types.is_string(found) or pa.types.is_large_string(found))
    if pa.types.is_timestamp(expected):
        return bool(pa.types.is_timestamp(found) and found.tz is not None and found.unit in {"ms", "us"})
    if pa.types.is_map(expected):
        whole = pa.types.is_map(found)
        return bool(whole and _same(found.key_type, expected.key_type) and _same(found.item_type, expected.item_type))
    if pa.types.is_list(expected):
        listed = pa.types.is_list(found) or pa.types.is_large_list(found)
        return bool(listed and _same(found.value_type, expected.value_type))
    return bool(found.equals(expected))
