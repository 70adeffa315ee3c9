"""CSV in streaming batches. Every cell comes as text: nothing is guessed, so no id is ever turned into a float."""

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import RawBatch, choose

BLOCK_BYTES: Final = 8 << 20


def read(file: Path, columns: Sequence[str] | None, notes: Notes, delimiter: str = ",") -> Iterator[RawBatch]:
    """Rows of a CSV file with a header; an empty cell is null. DataContractError names the row that breaks the layout."""
    present = header(file, delimiter)
    wanted = choose(file, present, columns, notes)
    first_row = 2
    try:
        for batch in _open(file, present, wanted, delimiter):
            yield RawBatch(file, first_row, pa.Table.from_batches([batch]))
            first_row += batch.num_rows
    except (pa.ArrowInvalid, EOFError, gzip.BadGzipFile) as error:
        raise DataContractError(
            f"{file}: not readable as CSV with delimiter {delimiter!r}: {_short(error)}",
            "mend the row (quote cells that hold the delimiter), or say `delimiter:` in the mapping; the file must be UTF-8",
        ) from None


def header(file: Path, delimiter: str) -> list[str]:
    """The first row's cells. DataContractError where the file is not text."""
    try:
        with open_text(file) as handle:
            return next(csv.reader(handle, delimiter=delimiter), [])
    except UnicodeDecodeError as error:
        raise DataContractError(f"{file}: not UTF-8 text (byte {error.start})", "convert the file to UTF-8") from None


def open_text(file: Path, encoding: str = "utf-8-sig") -> IO[str]:
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file, "rb"), encoding=encoding, newline="")
    return open(file, encoding=encoding, newline="")


def _open(file: Path, present: list[str], wanted: list[str], delimiter: str) -> Any:
    # One thread: only then does the reader know, and say, which row is broken.
    return pa_csv.open_csv(
        file,
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in present},
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
