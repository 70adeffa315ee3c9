"""One rank's row groups in the order of its plan, each counted, and the rows of its windows cut out of them."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from feature_store.contracts.errors import DataContractError
from trainer.config import ReaderName
from trainer.data.memory import keep_freed_memory
from trainer.data.plan import ReadPlan, Segment
from trainer.data.readers import row_group_reader
from trainer.data.rows import Rows, concatenated, rows_of, selected


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

    def tables(self, from_row: int) -> Generator[tuple[Segment, pa.Table], None, None]:
        """Each segment of the rank from its row `from_row` on, with its whole row group. DataContractError if the reader gives
        a row group too few or too many, or one of another size than the plan's."""
        keep_freed_memory()
        segments = self.plan.segments(self.rank, from_row)
        given = 0
        read = row_group_reader(self.reader)
        with closing(read(self.files, [segment.group for segment in segments], self.columns, self.workers)) as tables:
            for table in tables:
                if given == len(segments):
                    raise self.wrong(f"the reader gave more row groups than the {given} of the plan")
                segment = segments[given]
                if table.num_rows != self.plan.row_groups[segment.group]:
                    pinned = self.plan.row_groups[segment.group]
                    raise self.wrong(f"row group {segment.group} has {table.num_rows} rows, the plan says {pinned}")
                given += 1
                yield segment, table
        if given != len(segments):
            raise self.wrong(f"the reader gave {given} of {len(segments)} row groups")

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
        self._tables = planned.tables(from_row)
        self._kept: list[Rows] = []

    def __enter__(self) -> "RowStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.close()

    def take(self, count: int) -> Rows:
        """The next `count` rows."""
        have = sum(map(len, self._kept))
        while have < count:
            rows = self._next()
            self._kept.append(rows)
            have += len(rows)
        if not self._kept:
            return EMPTY
        *whole, last = self._kept
        cut = len(last) - (have - count)
        self._kept = [selected(last, slice(cut, None))] if have > count else []
        return concatenated([*whole, selected(last, slice(cut))])

    def finish(self) -> None:
        """DataContractError if the windows have not asked for every row there was."""
        left = sum(map(len, self._kept)) + sum(segment.rows for segment, _ in self._tables)
        if left:
            raise self._planned.wrong(f"{left} rows were left over")

    def _next(self) -> Rows:
        found = next(self._tables, None)
        if found is None:
            raise self._planned.wrong("the row groups ended before the last window")
        segment, table = found
        where = f"{self._planned.where}, row group {segment.group}"
        rows = rows_of(table, where)
        check_ids(rows, self._items, where)
        return selected(rows, self._planned.plan.row_order(segment))


def check_ids(rows: Rows, items: int, where: str) -> None:
    """DataContractError for an item id outside 1..items: it would be a fault on one rank between two collectives later."""
    low, high = int(rows.items.min(initial=1)), int(rows.items.max(initial=1))
    if low < 1 or high > items:
        raise DataContractError(
            f"{where}: item ids span {low}..{high}, the vocabulary has 1..{items}", "build the training set again"
        )


_NONE = np.zeros(0, np.int64)
EMPTY = Rows(_NONE, _NONE, np.zeros(0, np.float32), _NONE, _NONE, _NONE, _NONE, _NONE)
"""No row at all."""
