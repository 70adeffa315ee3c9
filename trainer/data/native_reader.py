"""The reader without Petastorm: a few threads fetch row groups of the pinned files, in the order a ReadPlan says."""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final

from nightrank.trainer.data.prepare import Prepare, as_read
from nightrank.trainer.data.sources import Source

READ_AHEAD: Final = 2
"""Row groups in flight a worker: one being read, one waiting."""


def read_row_groups(
    files: Sequence[tuple[Path, int]], plan: Sequence[int], source: Source, workers: int, prepare: Prepare = as_read
) -> Generator[Any, None, None]:
    """The row groups `plan` (numbers into all row groups of `files`, each a path and its number of row groups), in that order,
    each exactly once, as `source` reads them or as what `prepare` makes of them. At most `workers` x READ_AHEAD of
    them are in memory beside the one given out. DataContractError names a file that cannot be read. No thread is left once
    the generator is closed."""
    if not plan:
        return
    where = [(path, group) for path, groups in files for group in range(groups)]
    workers = min(workers, len(plan))

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
