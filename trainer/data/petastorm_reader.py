"""The only Petastorm import: its batch reader fetches row groups on the pinned files, in the order a ReadPlan says.

Petastorm 0.13.1 is private-API territory here (`_filter_row_groups`, `_create_ventilator`); the version is pinned and
tests/distributed/test_reader.py covers both.
"""

import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from petastorm.arrow_reader_worker import ArrowReaderWorker
from petastorm.fs_utils import FilesystemResolver
from petastorm.reader import Reader
from petastorm.workers_pool import EmptyResultError

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.arrow_pool import ArrowPool, Feed
from nightrank.trainer.data.conformance import no_row_group, unreadable
from nightrank.trainer.data.prepare import Prepare, as_read
from nightrank.trainer.data.sources import Source

READ_AHEAD = 2
"""Row groups in flight a worker: one being read, one waiting."""


def read_row_groups(
    files: Sequence[tuple[Path, int]], plan: Sequence[int], source: Source, workers: int, prepare: Prepare = as_read
) -> Generator[Any, None, None]:
    """The row groups `plan` (numbers into all row groups of `files`, each a path and its number of row groups), in that order,
    each exactly once, as `source` reads them or as what `prepare` makes of them. At most `workers` x READ_AHEAD of
    them are in memory. DataContractError names a file that cannot be read."""
    if not plan:
        return
    where = [(str(path), group) for path, groups in files for group in range(groups)]
    wanted = [where[number] for number in plan]
    reader = _PlannedReader(wanted, source, workers, prepare)
    given = 0
    try:
        for found in reader:
            given += 1
            yield found
        if given != len(plan):
            raise DataContractError(f"reader gave {given} of {len(plan)} row groups", "start the run again")
    finally:
        reader.stop()
        reader.join()


class _PlannedReader(Reader):  # type: ignore[misc]
    """Petastorm's batch reader, as `make_batch_reader` builds it, with our plan, our pool and our worker."""

    def __init__(self, wanted: list[tuple[str, int]], source: Source, workers: int, prepare: Prepare) -> None:
        self._wanted = wanted
        paths = sorted({path for path, _ in wanted})
        workers = min(workers, len(wanted))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            try:
                super().__init__(
                    FilesystemResolver("file:///").filesystem(),
                    paths,
                    schema_fields=[f"^{name}$" for name in source.columns],
                    worker_class=_worker_class(source, prepare),
                    reader_pool=ArrowPool(workers, len(wanted), EmptyResultError),
                    shuffle_row_groups=False,
                    num_epochs=1,
                    is_batched_reader=True,
                )
            except (pa.ArrowException, OSError) as error:
                raise unreadable([Path(path) for path in paths], error) from None

    def _filter_row_groups(self, _dataset: Any, row_groups: Any, *_rest: Any) -> tuple[list[int], None]:
        piece_of = {(piece.path, piece.row_group): index for index, piece in enumerate(row_groups)}
        missing = [key for key in self._wanted if key not in piece_of]
        if missing:
            path, group = missing[0]
            raise no_row_group(Path(path), group)
        return [piece_of[key] for key in self._wanted], None

    def _create_ventilator(self, row_group_indexes: Any, *_rest: Any) -> Feed:
        rest = {"worker_predicate": None, "shuffle_row_drop_partition": (0, 1)}
        items = [{"piece_index": index, "place": place, **rest} for place, index in enumerate(row_group_indexes)]
        return Feed(self._workers_pool.ventilate, items, ahead=self._workers_pool.workers_count * READ_AHEAD)


class _TableReader:
    """Takes results from the pool as they are, instead of Petastorm's way through pandas."""

    batched_output = True

    def read_next(self, pool: ArrowPool, _schema: Any, _ngram: Any) -> Any:
        try:
            return pool.get_results()
        except EmptyResultError:
            raise StopIteration from None


def _worker_class(source: Source, prepare: Prepare) -> type[ArrowReaderWorker]:
    class ArrowWorker(ArrowReaderWorker):  # type: ignore[misc]
        """Reads one row group as `source` does and passes on what `prepare` makes of it; lists of any length are welcome."""

        @staticmethod
        def new_results_queue_reader() -> _TableReader:
            return _TableReader()

        def process(self, piece_index: int, place: int, worker_predicate: Any, shuffle_row_drop_partition: Any) -> None:
            piece = self._split_pieces[piece_index]
            self.publish_func(prepare(place, source.read(Path(piece.path), piece.row_group)))

    return ArrowWorker
