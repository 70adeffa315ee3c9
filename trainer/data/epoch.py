"""EpochReader: one rank's batches of one epoch, as the plan has them; iter_part: a part in file order, for measuring."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from feature_store.contracts import schemas
from feature_store.contracts.errors import ConfigError, DataContractError
from feature_store.contracts.snapshot import DatasetSnapshot, PartName
from ranker.batch import Batch
from trainer.config import ReaderName
from trainer.data.collate import batch_of
from trainer.data.conformance import check_part, files_of, part_of, row_groups_of
from trainer.data.native_reader import read_row_groups
from trainer.data.plan import ReadPlan, Segment
from trainer.data.readers import row_group_reader
from trainer.data.rows import ROW_COLUMNS, Rows, compacted, concatenated, rows_of, selected

ROW_SCHEMA = pa.schema([schemas.EXAMPLES.field(name) for name in ROW_COLUMNS])


def make_plan(
    snapshot: DatasetSnapshot,
    part: PartName,
    *,
    seed: int,
    epoch: int,
    world_size: int,
    batch_rows: int,
    window_rows: int = 32_768,
) -> ReadPlan:
    """The plan of one epoch over one part of the snapshot."""
    groups = row_groups_of(part_of(snapshot, part))
    return ReadPlan(groups, seed, epoch, world_size, batch_rows, window_rows)


@dataclass
class EpochReader:
    """Iterates Batches: exactly `plan.steps - start_step` of them, the same on every rank, some perhaps without a row.

    `rows_read` counts the rows handed out. After the last batch it equals what the plan gives this rank from `start_step`
    on, or DataContractError is raised. Pinned files are checked (sizes, footers, types) when the reader is made.
    """

    snapshot: DatasetSnapshot
    root: Path
    part: PartName
    plan: ReadPlan
    rank: int
    start_step: int = 0
    """Resume: the first batch is the one step `start_step` would have had."""
    reader: ReaderName = "petastorm"
    workers: int = 2
    rows_read: int = 0

    def __post_init__(self) -> None:
        pinned = part_of(self.snapshot, self.part)
        if self.plan.row_groups != row_groups_of(pinned):
            raise ConfigError(f"the plan was made for other row groups than part {self.part} has", "make it from this snapshot")
        check_part(pinned, self.root, ROW_SCHEMA)
        self._files = files_of(pinned, self.root)

    def __len__(self) -> int:
        return max(self.plan.steps - self.start_step, 0)

    def __iter__(self) -> Iterator[Batch]:
        self.rows_read = 0
        windows = self.plan.windows(self.rank, self.start_step)
        passed = windows[0].first_row if windows else self.plan.rank_rows(self.rank)
        with _Stream(self, passed) as stream:
            for window in windows:
                rows = stream.take(window.rows)
                places = self.plan.batches(window, self.rank, rows.lengths)
                skip = max(self.start_step - window.first_step, 0)
                passed += sum(map(len, places[:skip]))
                for place in places[skip:]:
                    batch = batch_of(selected(rows, place))
                    self.rows_read += batch.rows
                    yield batch
            left = stream.left()
        wanted = self.plan.rank_rows(self.rank) - passed
        if self.rows_read != wanted or left:
            raise self._miscount(wanted, left)

    def _miscount(self, wanted: int, left: int) -> DataContractError:
        return DataContractError(
            f"epoch {self.plan.epoch} of snapshot {self.snapshot.id}, part {self.part}: rank {self.rank} read"
            f" {self.rows_read} rows of {wanted}, {left} rows were left over",
            "run `nightrank verify`; if the files agree with the snapshot this is a fault of the reader",
        )


class _Stream:
    """One rank's rows in stream order, given out window by window; keeps what a row group has more than a window takes."""

    def __init__(self, reader: EpochReader, from_row: int) -> None:
        self._reader = reader
        self._segments = reader.plan.segments(reader.rank, from_row)
        read = row_group_reader(reader.reader)
        self._tables = read(reader._files, [s.group for s in self._segments], ROW_COLUMNS, reader.workers)
        self._place = 0
        self._kept: list[Rows] = []

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._tables.close()

    def take(self, count: int) -> Rows:
        have = sum(map(len, self._kept))
        if self._kept and have < count:
            self._kept = [compacted(self._kept[0])]
        while have < count:
            rows = self._next()
            self._kept.append(rows)
            have += len(rows)
        whole = concatenated(self._kept) if self._kept else EMPTY
        self._kept = [selected(whole, np.arange(count, have))] if have > count else []
        return selected(whole, np.arange(count)) if have > count else whole

    def left(self) -> int:
        """Rows fetched or planned that no window asked for."""
        return sum(map(len, self._kept)) + sum(1 for _ in self._tables)

    def _next(self) -> Rows:
        reader, plan = self._reader, self._reader.plan
        table = next(self._tables, None)
        if table is None or self._place >= len(self._segments):
            raise reader._miscount(plan.rank_rows(reader.rank), 0)
        segment = self._segments[self._place]
        self._place += 1
        if table.num_rows != plan.row_groups[segment.group]:
            raise DataContractError(
                f"snapshot {reader.snapshot.id}, part {reader.part}: row group {segment.group} has {table.num_rows} rows, the"
                f" snapshot says {plan.row_groups[segment.group]}",
                "build the training set again",
            )
        rows = rows_of(table, f"snapshot {reader.snapshot.id[:12]}, part {reader.part}, row group {segment.group}")
        check_ids(rows, reader.snapshot)
        return selected(rows, plan.row_order(segment))


def check_ids(rows: Rows, snapshot: DatasetSnapshot) -> None:
    """DataContractError for an item id outside 1..items: it would be a fault on one rank between two collectives later."""
    low, high = int(rows.items.min(initial=1)), int(rows.items.max(initial=1))
    if low < 1 or high > snapshot.items:
        raise DataContractError(
            f"snapshot {snapshot.id[:12]}: item ids span {low}..{high}, the vocabulary has 1..{snapshot.items}",
            "build the training set again",
        )


def iter_part(
    snapshot: DatasetSnapshot, root: Path, part: PartName, *, batch_rows: int = 1024, rank: int = 0, world_size: int = 1
) -> Iterator[Batch]:
    """The part's rows in file order, rank r taking rows [r R / W, (r + 1) R / W). Ranks may take different numbers of batches:
    for sums over the part, not for steps. Read by pyarrow alone, whatever reads the epochs. Raises as EpochReader does."""
    pinned = part_of(snapshot, part)
    check_part(pinned, root, ROW_SCHEMA)
    cuts = list(_cuts(row_groups_of(pinned), pinned.rows * rank // world_size, pinned.rows * (rank + 1) // world_size))
    given = 0
    with closing(read_row_groups(files_of(pinned, root), [cut.group for cut in cuts], ROW_COLUMNS, workers=1)) as tables:
        for cut, table in zip(cuts, tables, strict=True):
            rows = rows_of(table, f"snapshot {snapshot.id[:12]}, part {part}, row group {cut.group}")
            check_ids(rows, snapshot)
            for at in range(cut.start, cut.stop, batch_rows):
                batch = batch_of(selected(rows, np.arange(at, min(at + batch_rows, cut.stop))))
                given += batch.rows
                yield batch
    wanted = sum(cut.rows for cut in cuts)
    if given != wanted:
        raise DataContractError(f"part {part} of snapshot {snapshot.id} gave {given} of {wanted} rows", "start again")


def _cuts(row_groups: Sequence[int], first: int, last: int) -> Iterator[Segment]:
    """Rows [first, last) of the part, row group by row group, in file order."""
    start = 0
    for group, count in enumerate(row_groups):
        cut = Segment(group, max(first - start, 0), min(last - start, count))
        if cut.rows > 0:
            yield cut
        start += count


_NONE = np.zeros(0, np.int64)
EMPTY = Rows(_NONE, _NONE, np.zeros(0, np.float32), _NONE, _NONE, _NONE, _NONE, _NONE)
"""No row at all."""
