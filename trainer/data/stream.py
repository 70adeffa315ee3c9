"""One rank's row groups in the order of its plan, each counted, and the rows of its windows cut out of them."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from feature_store.contracts.errors import DataContractError
from trainer.config import ReaderName
from trainer.data.arrow_rows import rows_of
from trainer.data.memory import keep_freed_memory
from trainer.data.plan import ReadPlan, Segment
from trainer.data.readers import row_group_reader
from trainer.data.rows import Chosen, Rows, chosen, joined

T = TypeVar("T")


@dataclass(frozen=True)
class Planned:
    """Where a rank's rows stand and what brings them. `where` names the data in errors."""

    files: Sequence[tuple[Path, int]]
    plan: ReadPlan
    rank: int
    columns: Sequence[str]
    reader: ReaderName
    workers: int
    where: str

    def prepared(self, from_row: int, prepare: Callable[[Segment, pa.Table], T]) -> Generator[T, None, None]:
        """What `prepare` makes, in the reader's threads, of each segment of the rank from its row `from_row` on and its whole
        row group. DataContractError if the reader gives a row group too few or too many, or one of another size than the
        plan's."""
        keep_freed_memory()
        segments = self.plan.segments(self.rank, from_row)

        def made(place: int, table: pa.Table) -> tuple[int, T]:
            self._check(segments[place], table.num_rows)
            return table.num_rows, prepare(segments[place], table)

        given, groups = 0, [segment.group for segment in segments]
        with closing(row_group_reader(self.reader)(self.files, groups, self.columns, self.workers, made)) as found:
            for rows, value in found:
                if given == len(segments):
                    raise self.wrong(f"the reader gave more row groups than the {given} of the plan")
                self._check(segments[given], rows)  # once more: it may have been made for another place
                given += 1
                yield value
        if given != len(segments):
            raise self.wrong(f"the reader gave {given} of {len(segments)} row groups")

    def _check(self, segment: Segment, rows: int) -> None:
        pinned = self.plan.row_groups[segment.group]
        if rows != pinned:
            raise self.wrong(f"row group {segment.group} has {rows} rows, the plan says {pinned}")

    def wrong(self, what: str) -> DataContractError:
        return DataContractError(
            f"{self.where}, epoch {self.plan.epoch}, rank {self.rank}: {what}",
            "run `nightrank verify`; if the files agree with the snapshot this is a fault of the reader",
        )


class RowStream:
    """The rank's training rows in stream order, given out window by window; keeps what a row group has more than a window
    takes. Use it as a context: leaving it ends the reader's threads."""

    def __init__(self, planned: Planned, from_row: int, items: int) -> None:
        self._planned = planned
        self._items = items
        self._found = planned.prepared(from_row, self._rows)
        self._kept: list[Chosen] = []

    def __enter__(self) -> "RowStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._found.close()

    def take(self, count: int) -> Chosen:
        """The next `count` rows."""
        have = sum(map(len, self._kept))
        while have < count:
            rows = next(self._found, None)
            if rows is None:
                raise self._planned.wrong("the row groups ended before the last window")
            self._kept.append(rows)
            have += len(rows)
        if not self._kept:
            return EMPTY
        *whole, last = self._kept
        cut = len(last) - (have - count)
        self._kept = [last.take(slice(cut, None))] if have > count else []
        return joined([*whole, last.take(slice(cut))])

    def finish(self) -> None:
        """DataContractError if the windows have not asked for every row there was."""
        left = sum(map(len, self._kept)) + sum(map(len, self._found))
        if left:
            raise self._planned.wrong(f"{left} rows were left over")

    def _rows(self, segment: Segment, table: pa.Table) -> Chosen:
        where = f"{self._planned.where}, row group {segment.group}"
        rows = rows_of(table, where)
        check_ids(rows, self._items, where)
        return chosen(rows, self._planned.plan.row_order(segment))


def check_ids(rows: Rows, items: int, where: str) -> None:
    """DataContractError for an item id outside 1..items: it would be a fault on one rank between two collectives later."""
    low, high = rows.span
    if low < 1 or high > items:
        raise DataContractError(
            f"{where}: item ids span {low}..{high}, the vocabulary has 1..{items}", "build the training set again"
        )


EMPTY = Chosen((), np.zeros(0, np.int64), np.zeros(0, np.int32))
"""No row at all."""
