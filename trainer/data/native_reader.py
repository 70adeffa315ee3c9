"""The reader without Petastorm: pyarrow alone fetches row groups of the pinned files, in the order a ReadPlan says.

A file's footer is parsed once, however many of its row groups are wanted. Arrow lets go of Python's lock while it reads and
decodes, so a few threads with one row group each use as many cores.
"""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from feature_store.contracts.errors import DataContractError
from trainer.data.conformance import no_row_group, unreadable
from trainer.data.prepare import Prepare, as_read

READ_AHEAD: Final = 2
"""Row groups in flight a worker: one being read, one waiting."""


def read_row_groups(
    files: Sequence[tuple[Path, int]], plan: Sequence[int], columns: Sequence[str], workers: int, prepare: Prepare = as_read
) -> Generator[Any, None, None]:
    """The row groups `plan` (numbers into all row groups of `files`, each a path and its number of row groups), in that order,
    each exactly once, as Arrow tables with `columns` or as what `prepare` makes of them. At most `workers` x READ_AHEAD of
    them are in memory beside the one handed out. DataContractError names a file that cannot be read. No thread is left once
    the generator is closed."""
    if not plan:
        return
    where = [(path, group) for path, groups in files for group in range(groups)]
    workers = min(workers, len(plan))
    source = _Files(columns)

    def made(place: int) -> Any:
        return prepare(place, source.read(*where[plan[place]]))

    places = iter(range(len(plan)))
    waiting: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="reader")
    try:
        waiting.extend(pool.submit(made, place) for place in islice(places, workers * READ_AHEAD))
        while waiting:
            found = waiting.popleft().result()
            waiting.extend(pool.submit(made, place) for place in islice(places, 1))
            yield found
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Files:
    """Reads single row groups, from any thread."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._footers: dict[Path, Any] = {}

    def read(self, path: Path, group: int) -> pa.Table:
        try:
            with pq.ParquetFile(path, metadata=self._footers.get(path)) as file:
                self._footers[path] = file.metadata  # two threads may both parse it: the second is kept, and is the same
                if group >= file.num_row_groups:
                    raise no_row_group(path, group)
                return file.read_row_group(group, columns=self._columns, use_threads=False)
        except DataContractError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise unreadable([path], error) from None
