"""Which reader fetches row groups: both keep one contract (tests/distributed/test_reader.py holds them to it).

They take pinned files, the row groups a plan wants, a source and a number of threads, and give what the source reads in the
plan's order, or what `prepare` makes of each in the thread that read it. What the rows of a batch are never depends on the
reader, so a run may be resumed with the other one.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

from nightrank.trainer.config.training import ReaderName
from nightrank.trainer.data.prepare import Prepare, as_read
from nightrank.trainer.data.sources import Source


class RowGroupReader(Protocol):
    def __call__(
        self,
        files: Sequence[tuple[Path, int]],
        plan: Sequence[int],
        source: Source,
        workers: int,
        prepare: Prepare = as_read,
    ) -> Generator[Any, None, None]: ...


def row_group_reader(name: ReaderName) -> RowGroupReader:
    """The reader of that name. Petastorm is imported only where it is asked for."""
    if name == "arrow":
        from nightrank.trainer.data.native_reader import read_row_groups as arrow

        return arrow
    from nightrank.trainer.data.petastorm_reader import read_row_groups as petastorm

    return petastorm
