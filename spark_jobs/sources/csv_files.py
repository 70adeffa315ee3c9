"""CSV in streaming batches. Every cell comes as text: nothing is guessed, so no id is ever turned into a float."""

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pa_csv

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.dialect import Dialect, dialect, not_of_encoding
from nightrank.spark_jobs.sources.formats import DETECT, Reading
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.raw import RawBatch
from nightrank.spark_jobs.sources.selection import choose

BLOCK_BYTES: Final = 8 << 20
_RAGGED: Final = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_HEADERLESS: Final = re.compile(r"^\d|^$|\d{4}-\d\d")
NO_HEADER: Final = "name the columns in the mapping in order (`header: [user, item, …]`), or write the file with a header"


def read(file: Path, columns: Sequence[str] | None, notes: Notes, how: Reading = DETECT) -> Iterator[RawBatch]:
    """Rows of a CSV file; an empty cell is null. DataContractError names the row that breaks the layout."""
    found = dialect(file, how, notes)
    names = [name.strip() for name in found.names]
    for name, written in zip(names, found.names, strict=True):
        if name != written:
            notes.detect("column names with spaces around them were trimmed", name)
    wanted = _choose(file, names, columns, notes)
    present = dict(zip(names, found.names, strict=True))
    first_row = 1 + found.skip + (how.header is None)
    try:
        for batch in _open(file, found, [present[name] for name in wanted], how):
            yield RawBatch(file, first_row, pa.Table.from_batches([batch]).rename_columns(wanted))
            first_row += batch.num_rows
    except UnicodeDecodeError as error:
        raise not_of_encoding(file, found.encoding, error) from None
    except (pa.ArrowInvalid, EOFError, gzip.BadGzipFile) as error:
        raise _broken(file, found, error) from None


def _choose(file: Path, names: list[str], columns: Sequence[str] | None, notes: Notes) -> list[str]:
    try:
        return choose(file, names, columns, notes)
    except DataContractError as error:
        if "is missing" in error.message and any(map(_HEADERLESS.search, names)):
            absent = error.message.partition(" is missing")[0]
            raise DataContractError(
                f"{absent} is missing, and the first row looks like data, not like a header", NO_HEADER
            ) from None
        raise


def _open(file: Path, found: Dialect, wanted: list[str], how: Reading) -> Any:
    # One thread: only then does the reader know, and say, which row is broken.
    encoding = "utf8" if found.encoding in ("utf-8", "utf-8-sig") else found.encoding
    return pa_csv.open_csv(
        file,
        read_options=pa_csv.ReadOptions(
            use_threads=False,
            block_size=BLOCK_BYTES,
            encoding=encoding,
            skip_rows=found.skip,
            column_names=list(how.header) if how.header else None,
        ),
        parse_options=pa_csv.ParseOptions(
            delimiter=found.delimiter, quote_char=found.quote if found.quoting else False, newlines_in_values=found.quoting
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in found.names},
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=True,
        ),
    )


def _broken(file: Path, found: Dialect, error: Exception) -> DataContractError:
    """What is wrong, without the row's text: it may hold ids."""
    text = " ".join(str(error).split())
    if "UTF8" in text:
        return not_of_encoding(file, found.encoding, error)
    remedy = "fix the row (quote cells that hold the delimiter), or set `delimiter:` or `quote:` in the mapping"
    if ragged := _RAGGED.search(text):
        row, expected, got = ragged.groups()
        return DataContractError(f"{file}: row {row} has {got} cells, the header has {expected} columns", remedy)
    return DataContractError(f"{file}: not readable as CSV with delimiter {found.delimiter!r}: {text[:120]}", remedy)
