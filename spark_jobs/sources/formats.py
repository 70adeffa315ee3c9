"""How ids, numbers, times and files of the user are written: the plain values that mappings become and readers take."""

from dataclasses import dataclass
from typing import Final, Literal

IdType = Literal["string", "int64"]
Unit = Literal["s", "ms", "us", "ns"]
Format = Literal["csv", "jsonl", "parquet", "delta"]
MISSING: Final = ("\\N", "NULL", "null", "None", "nan", "NaN")
"""Words that databases and data frames write where there is nothing."""


@dataclass(frozen=True)
class IdFormat:
    """With `trim`, spaces around an id are removed; a word of `missing` (and an empty cell) counts as no id."""

    type: IdType = "string"
    trim: bool = True
    missing: tuple[str, ...] = MISSING


@dataclass(frozen=True)
class NumberFormat:
    """`1.299,00 €` has the decimal `,`, the thousands `.` and a currency mark, which `currency` cuts off."""

    decimal: str = "."
    thousands: str | None = None
    currency: bool = False
    missing: tuple[str, ...] = MISSING


@dataclass(frozen=True)
class TimeFormat:
    """`format` is `auto` (ISO text, epoch numbers), `epoch`, or strptime directives; `timezone` is of times that name none.

    Without a `unit` the size of a column's numbers says it (`nightrank.spark_jobs.sources.times.settled`), and then
    `detected` is true: a number of another size is not a time of this column.
    """

    format: str = "auto"
    unit: Unit | None = None
    timezone: str = "UTC"
    detected: bool = False
    missing: tuple[str, ...] = MISSING


@dataclass(frozen=True)
class Reading:
    """How to read a file. None: found out from its name and its first bytes."""

    format: Format | None = None
    delimiter: str | None = None
    encoding: str | None = None
    quote: str | None = None
    """The quote character; `none`: quotes are text like any other."""
    header: tuple[str, ...] | None = None
    """Column names of a CSV file that has no header row."""
    explode: str | None = None
    """A column with lists: every element becomes a row, and the column is that element."""


DETECT: Final = Reading()
