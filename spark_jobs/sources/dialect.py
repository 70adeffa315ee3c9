"""How a text file is written, found out from its first bytes: encoding, `sep=` line, delimiter and quote character."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.spark_jobs.sources.formats import Reading
from nightrank.spark_jobs.sources.notes import Notes

SAMPLE_BYTES: Final = 1 << 20
DELIMITERS: Final = (",", ";", "\t", "|")
NO_QUOTE: Final = "none"
_ROWS: Final = 200
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SEP: Final = re.compile(r"^\"?sep=(.)\"?\r?\n")


@dataclass(frozen=True)
class Dialect:
    """`skip` lines are before the header; `names` are the header's cells as written."""

    encoding: str
    delimiter: str
    quote: str
    skip: int
    names: tuple[str, ...]

    @property
    def quoting(self) -> bool:
        return self.quote != NO_QUOTE


def dialect(file: Path, how: Reading, notes: Notes) -> Dialect:
    """The file's dialect, with what the mapping says taken as it is and what was found out noted."""
    encoding = how.encoding or encoding_of(file, notes)
    text = sample(file, encoding)
    mark = _SEP.match(text)
    body = text[mark.end() :] if mark else text
    quote = how.quote or _quote(body)
    usual = "\t" if file.name.removesuffix(".gz").lower().endswith(".tsv") else ","
    delimiter = how.delimiter or (mark[1] if mark else _delimiter(body, quote, usual))
    if how.delimiter is None and delimiter != usual:
        notes.detect(f"delimiter {delimiter!r}" + (" (its line sep=)" if mark else ""), file.name)
    if how.quote is None and quote != '"':
        notes.detect(f"quote character {quote}", file.name)
    rows = _rows(body, delimiter, quote, 1)
    return Dialect(encoding, delimiter, quote, 1 if mark else 0, how.header or tuple(rows[0] if rows else ()))


def encoding_of(file: Path, notes: Notes) -> str:
    """UTF-8, UTF-16 by its mark or its zero bytes, else Windows-1252, which any text of Western Europe is readable as."""
    head = _first_bytes(file)
    for mark, name in _MARKS:
        if head.startswith(mark):
            if name != "utf-8-sig":
                notes.detect("encoding UTF-16", file.name)
            return name
    zeros = head[:4096].count(0)
    if zeros * 3 > len(head[:4096]):
        name = "utf-16-le" if head[1:4096:2].count(0) * 2 > zeros else "utf-16-be"
        notes.detect(f"encoding {name.upper()}", file.name)
        return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        notes.detect("encoding Windows-1252 (the file is not UTF-8)", file.name)
        return "cp1252"
    return "utf-8"


def sample(file: Path, encoding: str) -> str:
    """The first megabyte as text. DataContractError where it is not of the encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(_first_bytes(file))
    except (UnicodeDecodeError, UnicodeError) as error:
        raise not_of_encoding(file, encoding, error) from None
    return text.removeprefix("\ufeff")


def open_text(file: Path, encoding: str = "utf-8-sig") -> IO[str]:
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    if file.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(file, "rb"), encoding=encoding, newline="")
    return open(file, encoding=encoding, newline="")


def not_of_encoding(file: Path, encoding: str, error: Exception) -> DataContractError:
    where = f" (byte {error.start})" if isinstance(error, UnicodeDecodeError) else ""
    return DataContractError(
        f"{file}: not readable as {encoding} text{where}",
        "set `encoding:` in the mapping (utf-8, utf-16, windows-1252, …), or convert the file to UTF-8",
    )


def _first_bytes(file: Path) -> bytes:
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else open(file, "rb") as handle:
            return handle.read(SAMPLE_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataContractError(f"{file}: not a complete gzip file ({error})", "copy or write it again") from None


def _quote(text: str) -> str:
    """`'` where every cell of the header is in single quotes."""
    cells = re.split(r"[,;\t|]", text.split("\n", 1)[0].rstrip("\r"))
    single = all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in map(str.strip, cells))
    return "'" if single else '"'


def _delimiter(text: str, quote: str, usual: str) -> str:
    """The delimiter that cuts the header and the rows below it most evenly into several cells."""
    best, found = (0.0, 0), usual
    for candidate in (usual, *(d for d in DELIMITERS if d != usual)):
        lengths = [len(row) for row in _rows(text, candidate, quote, _ROWS)]
        if lengths and lengths[0] > 1:
            score = (Counter(lengths)[lengths[0]] / len(lengths), lengths[0])
            best, found = max((best, found), (score, candidate), key=lambda pair: pair[0])
    return found


def _rows(text: str, delimiter: str, quote: str, most: int) -> list[list[str]]:
    quoting: Literal[0, 3] = csv.QUOTE_NONE if quote == NO_QUOTE else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote[:1], quoting=quoting)
    rows: list[list[str]] = []
    try:
        while len(rows) < most and (row := next(reader, None)) is not None:
            if row:
                rows.append(row)
    except csv.Error:
        return rows
    return rows
