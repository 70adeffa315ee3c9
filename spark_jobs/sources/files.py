"""Which files an input path means, and their rows as batches of the wanted columns, whatever the format."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.doors import check_readable
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.spark_jobs.sources import csv_files, json_lines, parquet_files
from nightrank.spark_jobs.sources.formats import DETECT, Format, Reading
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import Family, RawBatch, family_of

ENDINGS: Final[dict[str, Format]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}

Reader = Callable[[Path, Sequence[str] | None, Notes, Reading], Iterator[RawBatch]]


def input_files(path: Path, wanted: Format | None = None) -> tuple[Format, list[Path]]:
    """The format of `path` (a file, a folder of files or a Delta table) and its files by name.

    UsageError where there is nothing to read; DataContractError where a folder mixes formats or a file is empty.
    """
    check_readable(path, "input", UsageError, "check the path given to --input and the paths of the mapping")
    if (path / "_delta_log").is_dir():
        return "delta", [path]
    if path.is_dir():
        visible = [p for p in path.rglob("*") if p.is_file() and not _hidden(p, path)]
        files = sorted(p for p in visible if wanted is not None or _ending(p) in ENDINGS)
    else:
        files = [path]
    formats = {wanted or ENDINGS.get(_ending(file)) for file in files}
    if not files or None in formats:
        raise UsageError(
            f"{path}: no file ending in {', '.join(sorted(ENDINGS))} (also with .gz) and no Delta table",
            "name the file itself, or set `format:` in the mapping",
        )
    if len(formats) > 1:
        raise DataContractError(
            f"{path} mixes {' and '.join(sorted(map(str, formats)))} files", "give one file, or one folder per format"
        )
    for file in files:
        if file.stat().st_size == 0:
            raise DataContractError(f"{file} is empty (0 bytes)", "remove it, or write it again with its header and rows")
    kind = formats.pop()
    assert kind is not None
    return kind, files


def read(path: Path, columns: Sequence[str] | None, notes: Notes, how: Reading = DETECT) -> Iterator[RawBatch]:
    """Batches of the `columns` (None: all) of every file, in file name order; memory is bounded by one batch.

    DataContractError for a file that cannot be read, lacks a column, or whose column changes its type between files.
    """
    kind, files = input_files(path, how.format)
    drift = Drift()
    for batch in _batches(kind, files, columns, notes, how):
        drift.check(batch)
        yield batch


def _batches(kind: Format, files: list[Path], columns: Sequence[str] | None, notes: Notes, how: Reading) -> Iterable[RawBatch]:
    readers: dict[Format, Reader] = {
        "csv": csv_files.read,
        "jsonl": json_lines.read,
        "parquet": parquet_files.read,
        "delta": parquet_files.read_delta,
    }
    for file in files:
        yield from readers[kind](file, columns, notes, how)


@dataclass
class Drift:
    """Remembers each column's family of types and refuses a file that changes it."""

    seen: dict[str, tuple[Family, Path]] = field(default_factory=dict)

    def check(self, batch: RawBatch) -> None:
        for name, column in zip(batch.table.column_names, batch.table.columns, strict=True):
            family = batch.families.get(name) or family_of(column.type)
            if family == "null":
                continue
            first, file = self.seen.setdefault(name, (family, batch.file))
            if _comparable(first) != _comparable(family):
                raise DataContractError(
                    f"{batch.file}: column {name} holds {family} where {file.name} has {first}",
                    "write the column with one type in all files and import again",
                )


def _comparable(family: Family) -> str:
    return "number" if family in ("integer", "float") else family


def _ending(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
