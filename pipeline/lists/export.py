"""`nightrank export`: the lists of a release in one file that other programs read. Streams; the file is whole or not there."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import RECOMMENDATIONS
from nightrank.pipeline.recommend import current, titles_of

COLUMNS: Final = (c.USER_ID, c.RANK, c.ITEM_ID, c.SCORE, c.FALLBACK, c.LIST_ID, c.RELEASE_ID, c.DATE)
FORMATS: Final = ("parquet", "csv", "jsonl")
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run."""
SCHEMA: Final = pa.schema([*(RECOMMENDATIONS.schema.field(name) for name in COLUMNS), pa.field(c.TITLE, pa.string())])


class Sink(Protocol):
    def write(self, batch: pa.RecordBatch) -> None: ...
    def close(self) -> None: ...


def release_named(lake: Lake, release_id: str | None) -> Release:
    """The current release, or the one of that id. UsageError where there is none."""
    if release_id is None:
        return current(lake)
    known = delta_read.releases(lake)
    found = next((one for one in known if one.release_id == release_id), None)
    if found is None:
        newest = ", ".join(one.release_id for one in known[-5:]) or "none"
        raise UsageError(f"there is no release {release_id}", f"the newest are {newest}")
    return found


def format_of(target: Path, named: str | None) -> str:
    """`named`, or what the file's ending says. UsageError for another."""
    found = named or target.suffix.removeprefix(".")
    if found not in FORMATS:
        raise UsageError(f"no format {found!r}", f"end the file's name in, or give --format, one of {', '.join(FORMATS)}")
    return found


def export(lake: Lake, release: Release, target: Path, kind: str) -> int:
    """Rows of the release's lists in `target`, with titles; an earlier file there is replaced in one step. How many there are.

    Rows are in the order of the table's files. In CSV, text that a spreadsheet would run as formula starts with an apostrophe.
    DataContractError where maintenance has taken the files.
    """
    titles = titles_of(lake)
    draft = target.with_name(f".{target.name}.tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    sink, rows = _sink(kind, draft), 0
    try:
        for batch in _batches(lake, release):
            found = pa.array([titles.get(item) for item in batch.column(c.ITEM_ID).to_pylist()], pa.string())
            sink.write(pa.RecordBatch.from_arrays([*batch.columns, found], schema=SCHEMA))
            rows += batch.num_rows
        sink.close()
        if rows != release.rows:
            raise DataContractError(f"release {release.release_id} has {release.rows} rows, its files {rows}", "run `verify`")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return rows


def _batches(lake: Lake, release: Release) -> Iterator[pa.RecordBatch]:
    try:
        lists = delta_read.stored(lake, RECOMMENDATIONS, release.recommendations_version)
        yield from lists.to_batches(columns=list(COLUMNS))
    except FileNotFoundError:
        raise DataContractError(
            f"files of release {release.release_id} are gone",
            "maintenance.keep_releases says how many stay; export a newer one",
        ) from None


def _sink(kind: str, draft: Path) -> Sink:
    return pq.ParquetWriter(draft, SCHEMA) if kind == "parquet" else _Lines(draft, kind)


class _Lines:
    """CSV with a header, or JSON lines; UTF-8."""

    def __init__(self, draft: Path, kind: str) -> None:
        self._file: io.TextIOWrapper = open(draft, "w", encoding="utf-8", newline="")  # noqa: SIM115
        self._csv = csv.writer(self._file) if kind == "csv" else None
        if self._csv:
            self._csv.writerow(SCHEMA.names)

    def write(self, batch: pa.RecordBatch) -> None:
        for row in batch.to_pylist():
            if self._csv:
                self._csv.writerow([_cell(row[name]) for name in SCHEMA.names])
            else:
                self._file.write(json.dumps(row, ensure_ascii=False, default=_text) + "\n")

    def close(self) -> None:
        self._file.close()


def _cell(value: Any) -> Any:
    harmful = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if harmful else value


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
