"""One rank's row groups in the order of its plan, each counted."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.config.training import ReaderName
from nightrank.trainer.data.memory import keep_freed_memory
from nightrank.trainer.data.plan import ReadPlan, Segment
from nightrank.trainer.data.readers import row_group_reader
from nightrank.trainer.data.rows import Rows
from nightrank.trainer.data.sources import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Planned:
    """Where a rank's rows stand and what brings them. `where` names the data in errors."""

    files: Sequence[tuple[Path, int]]
    plan: ReadPlan
    rank: int
    source: Source
    reader: ReaderName
    workers: int
    where: str

    def prepared(self, from_row: int, prepare: Callable[[Segment, Any], T]) -> Generator[T, None, None]:
        """What `prepare` makes, in the reader's threads, of each segment of the rank from its row `from_row` on and its whole
        row group, as the source reads it. DataContractError if the reader gives a row group too few or too many, or one of
        another size than the plan's."""
        keep_freed_memory()
        segments = self.plan.segments(self.rank, from_row)

        def made(place: int, row_group: Any) -> tuple[int, T]:
            self._check(segments[place], len(row_group))
            return len(row_group), prepare(segments[place], row_group)

        given, groups = 0, [segment.group for segment in segments]
        with closing(row_group_reader(self.reader)(self.files, groups, self.source, self.workers, made)) as found:
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
            "run `nightrank verify`; if the files match the snapshot, this is a bug in the reader",
        )


def check_ids(rows: Rows, items: int, where: str) -> None:
    """DataContractError for an item id outside 1..items: it would be a fault on one rank between two collectives later."""
    low, high = rows.span
    if low < 1 or high > items:
        raise DataContractError(
            f"{where}: item ids span {low}..{high}, the vocabulary has 1..{items}", "build the training set again"
        )
