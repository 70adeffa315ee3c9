"""What a column looks like: how full it is, how many different values it has, which times and numbers it can be read as."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nightrank.spark_jobs.sources.cells import as_text, without_words
from nightrank.spark_jobs.sources.faults import number_format
from nightrank.spark_jobs.sources.files import read
from nightrank.spark_jobs.sources.formats import MISSING, NumberFormat, Reading, TimeFormat
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.numbers import numbers
from nightrank.spark_jobs.sources.raw import RawBatch, RawColumn
from nightrank.spark_jobs.sources.times import settled, times

ROWS: Final = 5_000
DEEPEST: Final = 4
_DATES: Final = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y")
_CLOCKS: Final = (" %H:%M:%S", " %H:%M", "", " %I:%M:%S %p", " %I:%M %p")
TIME_FORMATS: Final = tuple(date + clock for clock in _CLOCKS for date in _DATES)


@dataclass(frozen=True)
class Profile:
    """Counts are of the rows looked at."""

    column: RawColumn
    rows: int
    filled: int
    values: tuple[str, ...]
    """The different values, most frequent first."""

    @property
    def name(self) -> str:
        return self.column.name

    def time(self) -> tuple[TimeFormat, int] | None:
        """The format that reads most cells, and how many; None where none reads most of them."""
        if self.column.family not in ("text", "time", "integer", "float") or not self.filled:
            return None
        best: tuple[TimeFormat, int] | None = None
        formats = ("auto", *TIME_FORMATS) if self.column.family == "text" else ("auto",)
        for name in formats:
            how = settled(self.column, TimeFormat(name))
            if self.column.family in ("integer", "float") and not how.detected:
                continue
            readable = self.rows - times(self.column, how).values.null_count
            if best is None or readable > best[1]:
                best = (how, readable)
            if readable >= self.filled:
                break
        return best if best is not None and 2 * best[1] > self.filled else None

    def number(self) -> tuple[NumberFormat, int] | None:
        """The number format that reads most cells, and how many; None where none reads most of them."""
        if self.column.family not in ("text", "integer", "float", "decimal", "null"):
            return None
        found = number_format(list(self.values[:50]))
        likely = NumberFormat(
            "," if any("decimal" in part for part in found) else ".",
            next((part[-2] for part in found if "thousands" in part), None),
            "currency: true" in found,
        )
        readable = [(how, self.rows - numbers(self.column, how).values.null_count) for how in (NumberFormat(), likely)]
        best = max(readable, key=lambda pair: pair[1])
        return best if 2 * best[1] > self.filled else None


@dataclass
class Sample:
    """The first rows of a file with every field inside of objects as a column of its own."""

    reading: Reading
    profiles: list[Profile]
    notes: Notes = field(default_factory=lambda: Notes(progress=lambda _: None))


def sample(path: Path) -> Sample:
    """Looks at the first rows of `path`. Lists of objects are exploded: their elements are what there is a row of."""
    reading, columns, notes = Reading(), None, Notes(progress=lambda _: None)
    batch = _first(path, columns, reading, notes)
    for _ in range(DEEPEST):
        inner = {name: list(_fields(batch.column(name))) for name in batch.table.column_names}
        lists = [name for name in inner if _objects(batch.column(name))]
        if lists and reading.explode is None:
            reading = Reading(explode=lists[0])
        elif not any(inner.values()):
            break
        columns = [part for name, parts in inner.items() for part in (parts or [name])]
        notes = Notes(progress=lambda _: None)
        batch = _first(path, columns, reading, notes)
    return Sample(reading, [_profile(batch.column(name)) for name in batch.table.column_names], notes)


def _first(path: Path, columns: list[str] | None, reading: Reading, notes: Notes) -> RawBatch:
    batches: Iterator[RawBatch] = read(path, columns, notes, reading)
    first = next(batches, None)
    if first is None:
        return RawBatch(path, 1, pa.table({}))
    return RawBatch(first.file, first.first_row, first.table.slice(0, ROWS), first.families)


def _fields(column: RawColumn) -> Iterator[str]:
    kind = column.values.type
    if pa.types.is_struct(kind):
        yield from (f"{column.name}.{kind.field(i).name}" for i in range(kind.num_fields))
    elif pa.types.is_map(kind):
        names = {key: None for row in column.values.to_pylist() if row for key, _ in row}
        yield from (f"{column.name}.{name}" for name in names)


def _objects(column: RawColumn) -> bool:
    kind = column.values.type
    if not pa.types.is_list(kind):
        return False
    flat = pc.list_flatten(column.values).drop_null()
    return bool(pa.types.is_struct(kind.value_type) or (len(flat) and str(flat[0]).startswith("{")))


def _profile(column: RawColumn) -> Profile:
    rows = len(column.values)
    if column.family in ("list", "map", "binary"):
        return Profile(column, rows, rows - column.values.null_count, ())
    text = without_words(as_text(column), MISSING)
    counted = pc.value_counts(text.drop_null()).to_pylist()
    ordered = sorted(counted, key=lambda entry: (-entry["counts"], entry["values"]))
    return Profile(column, rows, rows - text.null_count, tuple(entry["values"] for entry in ordered))
