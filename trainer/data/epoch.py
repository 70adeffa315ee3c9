"""EpochReader: one rank's batches of one epoch, as the plan has them; iter_part: a part in file order, for measuring."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.batch import Batch
from nightrank.trainer.config.training import ReaderName
from nightrank.trainer.data.arrow_rows import ROW_COLUMNS, rows_of
from nightrank.trainer.data.collate import batch_of
from nightrank.trainer.data.conformance import check_part, files_of, part_of, row_groups_of
from nightrank.trainer.data.filling import Passing, filled
from nightrank.trainer.data.native_reader import read_row_groups
from nightrank.trainer.data.plan import ReadPlan, Segment
from nightrank.trainer.data.rows import Rows
from nightrank.trainer.data.stream import Planned, check_ids
from nightrank.trainer.data.training_rows import TrainingRows

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
    """Iterates Batches: exactly `plan.steps - start_step` of them, the same on every rank, some perhaps without a row;
    items and actions are in the files' widths, which `Batch.to` widens.

    `rows_read` counts the rows given out. After the last batch it equals what the plan gives this rank from `start_step`
    on, or DataContractError is raised. Pinned files are checked (sizes, footers, types) when the reader is made.
    """

    snapshot: DatasetSnapshot
    root: Location
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
        self._planned = Planned(
            files=files_of(pinned, self.root),
            plan=self.plan,
            rank=self.rank,
            source=TrainingRows(),
            reader=self.reader,
            workers=self.workers,
            where=name_of(self.snapshot, self.part),
        )

    def __len__(self) -> int:
        return max(self.plan.steps - self.start_step, 0)

    def __iter__(self) -> Iterator[Batch]:
        self.rows_read = 0
        windows = self.plan.windows(self.rank, self.start_step)
        passed = windows[0].first_row if windows else self.plan.rank_rows(self.rank)
        with closing(self._planned.prepared(passed, self._passing)) as groups:
            for window, buffer in filled(self.plan, self.rank, windows, groups, self._planned.wrong):
                batches = buffer.batches()
                skip = max(self.start_step - window.first_step, 0)
                passed += sum(batch.rows for batch in batches[:skip])
                for batch in batches[skip:]:
                    self.rows_read += batch.rows
                    yield batch
        wanted = self.plan.rank_rows(self.rank) - passed
        if self.rows_read != wanted:
            raise self._planned.wrong(f"{self.rows_read} rows of {wanted} were read")

    def _passing(self, segment: Segment, found: Rows | pa.Table) -> Passing:
        where = f"{self._planned.where}, row group {segment.group}"
        return Passing(_checked(found, self.snapshot.items, where), self.plan.row_order(segment))


def name_of(snapshot: DatasetSnapshot, part: PartName) -> str:
    """For errors. Hashing the snapshot takes a while: once a reader, not once a row group."""
    return f"snapshot {snapshot.id[:12]}, part {part}"


def iter_part(
    snapshot: DatasetSnapshot,
    root: Location,
    part: PartName,
    *,
    batch_rows: int = 1024,
    rank: int = 0,
    world_size: int = 1,
    most_rows: int | None = None,
) -> Iterator[Batch]:
    """The part's rows in file order, or its first `most_rows`. Of R rows rank r takes [r R / W, (r + 1) R / W). Ranks may take
    different numbers of batches: for sums over the part, not for steps. Read without Petastorm, whatever reads the epochs.
    Raises as EpochReader does."""
    pinned = part_of(snapshot, part)
    check_part(pinned, root, ROW_SCHEMA)
    total = pinned.rows if most_rows is None else min(pinned.rows, most_rows)
    cuts = list(_cuts(row_groups_of(pinned), total * rank // world_size, total * (rank + 1) // world_size))
    where, given = name_of(snapshot, part), 0
    with closing(read_row_groups(files_of(pinned, root), [cut.group for cut in cuts], TrainingRows(), workers=1)) as row_groups:
        for cut, found in zip(cuts, row_groups, strict=True):
            rows = _checked(found, snapshot.items, f"{where}, row group {cut.group}")
            for at in range(cut.start, cut.stop, batch_rows):
                batch = batch_of(rows, at, min(at + batch_rows, cut.stop))
                given += batch.rows
                yield batch
    wanted = sum(cut.rows for cut in cuts)
    if given != wanted:
        raise DataContractError(f"{where}: {given} of {wanted} rows were read", "start the run again")


def _checked(found: Rows | pa.Table, items: int, where: str) -> Rows:
    rows = found if isinstance(found, Rows) else rows_of(found, where)
    check_ids(rows, items, where)
    return rows


def _cuts(row_groups: Sequence[int], first: int, last: int) -> Iterator[Segment]:
    """Rows [first, last) of the part, row group by row group, in file order."""
    start = 0
    for group, count in enumerate(row_groups):
        cut = Segment(group, max(first - start, 0), min(last - start, count))
        if cut.rows > 0:
            yield cut
        start += count
