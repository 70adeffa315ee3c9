"""TypedReader: a mapped column of a batch as cells of its landing type, with what was found wrong noted and counted."""

from dataclasses import dataclass, field, replace
from typing import Final

from nightrank.feature_store.contracts import columns as c
from nightrank.spark_jobs.sources.cells import Cells, as_text, ids
from nightrank.spark_jobs.sources.epochs import LONG, unit_of
from nightrank.spark_jobs.sources.flags import flags
from nightrank.spark_jobs.sources.formats import IdFormat, NumberFormat, TimeFormat
from nightrank.spark_jobs.sources.notes import Notes
from nightrank.spark_jobs.sources.numbers import numbers, whole_numbers
from nightrank.spark_jobs.sources.raw import RawBatch, RawColumn
from nightrank.spark_jobs.sources.times import settled, times

IDS: Final = (c.USER_ID, c.ITEM_ID)
TIMES: Final = (c.EVENT_TIME, c.AVAILABILITY_TIME, c.CREATED)
FLAGS: Final = (c.AVAILABLE,)
NUMBERS: Final = (c.VALUE, c.PROPENSITY, c.PRICE, c.NUMBERS)


@dataclass
class TypedReader:
    """Reads columns of one section (`table`) of the mapping. It remembers each time column's unit from batch to batch."""

    table: str
    id_format: IdFormat
    time: TimeFormat
    numbers: NumberFormat
    notes: Notes
    _clocks: dict[str, TimeFormat] = field(default_factory=dict)

    def cells(self, batch: RawBatch, name: str, column_name: str) -> Cells:
        """The column for the landing field `name`."""
        column = batch.column(column_name)
        found = self._read(column, name)
        self.notes.faults.add(self.table, column_name, found)
        if found.trimmed:
            self.notes.detect_many("ids with spaces around them were trimmed", found.trimmed, column_name)
        if found.words:
            self.notes.warn("cells that hold a word for missing (such as NULL) are not ids", found.words, column_name)
        return found

    def _read(self, column: RawColumn, name: str) -> Cells:
        if name in IDS:
            return ids(column, self.id_format)
        if name in TIMES:
            return times(column, self._clock(column))
        if name in NUMBERS:
            return numbers(column, self.numbers)
        if name in FLAGS:
            return flags(column, self.numbers)
        return whole_numbers(column, self.numbers) if name == c.POSITION else Cells(as_text(column))

    def _clock(self, column: RawColumn) -> TimeFormat:
        known = self._clocks.get(column.name)
        if known is not None:
            return known
        how = settled(column, self.time)
        if how.detected:
            assert how.unit is not None
            self.notes.detect(f"numbers are {LONG[how.unit]} since 1970", column.name)
            self._clocks[column.name] = how
        elif how.unit is not None and how.format in ("auto", "epoch"):
            self._check(column, how)
        return how

    def _check(self, column: RawColumn, how: TimeFormat) -> None:
        """Warn once where the stated unit is not what the numbers look like."""
        looks = unit_of(column, replace(how, unit=None))
        if looks is not None and looks != how.unit:
            self.notes.warn(f"the mapping says unit {how.unit}, but the numbers look like {looks}", name=column.name)
        self._clocks[column.name] = how
