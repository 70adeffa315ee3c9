"""Impressions of a snapshot part as batches, under the same ReadPlan as training rows. Shapes: N rows, F fields, A actions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.ctr.batch import ImpressionBatch, check_impressions
from nightrank.ranker.ctr.config import CtrShapes
from nightrank.trainer.config.training import ReaderName
from nightrank.trainer.data.conformance import check_part, part_of, pinned_paths, row_groups_of
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.data.readers import row_group_reader
from nightrank.trainer.data.sources import Tables

COLUMNS: Final = (c.WEIGHT, c.CODES, c.NUMERIC, c.LABELS, c.HISTORY)
"""What the trainer reads of `schemas.POINTWISE`."""
SCHEMA: Final = pa.schema([schemas.POINTWISE.field(name) for name in COLUMNS])
REMEDY: Final = "build the training set again (stage build_training_set)"


@dataclass(frozen=True)
class ImpressionSource:
    """Every row of one part once an epoch over all ranks, in the order of its ReadPlan."""

    snapshot: DatasetSnapshot
    tables: Location
    part: PartName
    shapes: CtrShapes
    seed: int
    rank: int
    world_size: int
    batch_rows: int
    reader: ReaderName = "petastorm"
    workers: int = 2
    most_rows: int | None = None
    """A sample of so many rows, the same for any number of ranks; None: all."""

    def plan(self, epoch: int) -> ReadPlan:
        groups = row_groups_of(part_of(self.snapshot, self.part))
        return ReadPlan(groups, self.seed, epoch, self.world_size, self.batch_rows, most_rows=self.most_rows)

    def steps(self, epoch: int) -> int:
        return self.plan(epoch).steps

    def rows(self, epoch: int) -> int:
        return self.plan(epoch).rows

    def batches(self, epoch: int, start_step: int) -> Iterator[ImpressionBatch]:
        """DataContractError for files or rows that are not what the snapshot and the shapes say, naming them."""
        plan, pinned = self.plan(epoch), part_of(self.snapshot, self.part)
        check_part(pinned, self.tables, SCHEMA)
        windows = plan.windows(self.rank, start_step)
        rows = self._row_groups(plan, windows[0].first_row if windows else plan.rank_rows(self.rank))
        kept = next(rows, None)
        for window in windows:
            while kept is None or kept.rows < window.rows:
                more = next(rows, None)
                if more is None:
                    raise DataContractError(f"{self._where} ended before its plan did", REMEDY)
                kept = more if kept is None else joined(kept, more)
            # Impressions have no length to be sorted by, so that a window's batches are drawn at random.
            places = plan.batches(window, self.rank, np.zeros(window.rows, np.int64))
            for place in places[max(start_step - window.first_step, 0) :]:
                yield kept.take(torch.from_numpy(place))
            kept = kept.between(window.rows, kept.rows)
        if (kept is not None and kept.rows) or next(rows, None) is not None:
            raise DataContractError(f"{self._where} has more rows than its plan", REMEDY)

    def _row_groups(self, plan: ReadPlan, from_row: int) -> Iterator[ImpressionBatch]:
        pinned, segments = part_of(self.snapshot, self.part), plan.segments(self.rank, from_row)
        paths = pinned_paths(pinned, self.tables)
        files = [(path, len(file.row_groups)) for path, file in zip(paths, pinned.files, strict=True)]
        tables = row_group_reader(self.reader)(files, [segment.group for segment in segments], Tables(COLUMNS), self.workers)
        try:
            for segment, table in zip(segments, tables, strict=True):
                order = torch.from_numpy(plan.row_order(segment))
                yield impressions_of(table, self.shapes, f"{self._where}, row group {segment.group}").take(order)
        finally:
            tables.close()

    @property
    def _where(self) -> str:
        return f"snapshot {self.snapshot.id[:12]}, part {self.part}"


def impressions_of(table: pa.Table, shapes: CtrShapes, where: str) -> ImpressionBatch:
    """The table's rows; DataContractError naming `where` and the column for a null or a list of another length."""
    fields, numbers, actions = len(shapes.fields), len(shapes.numeric), len(shapes.labels)
    history = _whole(table, c.HISTORY, where)
    offsets = history.offsets.to_numpy().astype(np.int64)
    past = history.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    batch = ImpressionBatch(
        codes_BF=torch.from_numpy(_padded(table, c.CODES, fields, where).astype(np.int64)),
        numeric_BD=torch.from_numpy(_padded(table, c.NUMERIC, numbers, where).astype(np.float32)),
        labels_BA=torch.from_numpy(_padded(table, c.LABELS, actions, where).astype(np.float32)),
        weight_B=torch.from_numpy(_whole(table, c.WEIGHT, where).to_numpy(zero_copy_only=False).copy()),
        history_T=torch.from_numpy(past.astype(np.int64)),
        offsets_B1=torch.from_numpy(offsets - offsets[0]),
    )
    _check_labels(batch.labels_BA, shapes, where)
    return check_impressions(batch, shapes, where)


def _check_labels(labels_BA: torch.Tensor, shapes: CtrShapes, where: str) -> None:
    wrong_BA = ~((labels_BA == 0) | (labels_BA == 1) | torch.isnan(labels_BA))
    if wrong_BA.any():
        row, action = (int(place) for place in wrong_BA.nonzero()[0])
        raise DataContractError(
            f"{where}: label {shapes.labels[action]} of row {row} is {float(labels_BA[row, action]):g}, not 0 or 1", REMEDY
        )


def joined(first: ImpressionBatch, second: ImpressionBatch) -> ImpressionBatch:
    """The rows of both, in order. Both have histories."""
    assert first.history_T is not None and second.history_T is not None
    assert first.offsets_B1 is not None and second.offsets_B1 is not None
    return ImpressionBatch(
        codes_BF=torch.cat([first.codes_BF, second.codes_BF]),
        numeric_BD=torch.cat([first.numeric_BD, second.numeric_BD]),
        labels_BA=torch.cat([first.labels_BA, second.labels_BA]),
        weight_B=torch.cat([first.weight_B, second.weight_B]),
        history_T=torch.cat([first.history_T, second.history_T]),
        offsets_B1=torch.cat([first.offsets_B1, second.offsets_B1[1:] + first.offsets_B1[-1]]),
    )


def _whole(table: pa.Table, name: str, where: str) -> Any:
    column = table.column(name)
    if column.null_count:
        raise DataContractError(f"{where}: column {name} holds {column.null_count} nulls", REMEDY)
    return pa.concat_arrays([*column.chunks, pa.array([], column.type)])


def _padded(table: pa.Table, name: str, width: int, where: str) -> npt.NDArray[Any]:
    """[N, width]; a null inside a list of floats is NaN."""
    lists = _whole(table, name, where)
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        raise DataContractError(
            f"{where}: column {name} holds {int(lengths[row])} values in row {row}, the ranker reads {width}", REMEDY
        )
    values = lists.flatten()
    if values.null_count and pa.types.is_integer(values.type):
        raise DataContractError(f"{where}: column {name} holds {values.null_count} nulls inside its lists", REMEDY)
    result: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False).reshape(len(lists), width)
    return result
