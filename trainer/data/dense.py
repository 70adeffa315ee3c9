"""Plain numeric columns as shuffled batches [B, C]: what a click ranker reads of pointwise rows.

Rows of one length need no windows: a batch is the next stretch of the plan's stream, in which row groups and the rows of each
are permuted. The thread that has read a row group gathers every column of it once, while the column fits a cache, into its
place in a block [C, rows], and lets go of what was read; batches are views on blocks, so nothing is copied again but where a
batch spans two row groups.

Shapes: C columns, B rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.plan import Segment
from nightrank.trainer.data.stream import Planned


@dataclass
class DenseReader:
    """Iterates float32 tensors [B, C], column by column in memory: exactly `plan.steps - start_step`, the same number on every
    rank, with each row of the rank once. Neighbours share memory, so a batch that is kept keeps its row group.
    DataContractError names a null, a column that is not numeric, and what Planned refuses."""

    planned: Planned
    start_step: int = 0
    """Resume: the first batch is the one step `start_step` would have had."""
    rows_read: int = 0

    def __len__(self) -> int:
        return max(self.planned.plan.steps - self.start_step, 0)

    def __iter__(self) -> Iterator[Tensor]:
        self.rows_read = 0
        planned = self.planned
        bounds = planned.plan.bounds(planned.rank)[self.start_step :]
        kept = [torch.zeros(len(planned.source.columns), 0)]
        with closing(planned.prepared(bounds[0] if bounds else planned.plan.rank_rows(planned.rank), self._block)) as blocks:
            for size in (high - low for low, high in pairwise(bounds)):
                while _rows(kept) < size:
                    if (found := next(blocks, None)) is None:
                        raise planned.wrong("the row groups ended before the last batch")
                    kept.append(found)
                batch, kept = _cut(kept, size)
                self.rows_read += size
                yield batch.T
            left = _rows(kept) + sum(block.shape[1] for block in blocks)
        if left:
            raise planned.wrong(f"{left} rows were left over")

    def _block(self, segment: Segment, table: pa.Table) -> Tensor:
        """[C, rows] of the segment, in stream order."""
        order = torch.from_numpy(self.planned.plan.row_order(segment).astype(np.int32))  # half the cache of int64
        block = torch.empty(len(self.planned.source.columns), len(order))
        column = torch.empty(table.num_rows)
        for out, name in zip(block, self.planned.source.columns, strict=True):
            values = self._values(table.column(name), f"row group {segment.group}, column {name}")
            # Copied in order first: that brings it into the cache, where the gather is twice as fast.
            np.copyto(column.numpy(), values, casting="unsafe")
            torch.index_select(column, 0, order, out=out)
        return block

    def _values(self, column: pa.ChunkedArray, name: str) -> npt.NDArray[Any]:
        if column.null_count:
            raise self._refused(f"{name} holds {column.null_count} nulls")
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise self._refused(f"{name} is {column.type}, not a number")
        values: npt.NDArray[Any] = column.to_numpy()
        return values

    def _refused(self, what: str) -> DataContractError:
        return DataContractError(f"{self.planned.where}: {what}", "leave out the column, or fix the table it comes from")


def _rows(blocks: Sequence[Tensor]) -> int:
    return sum(block.shape[1] for block in blocks)


def _cut(blocks: Sequence[Tensor], size: int) -> tuple[Tensor, list[Tensor]]:
    """The next `size` rows, of which the last block holds some, and what is left; copied only where they span two blocks."""
    *whole, last = blocks
    here = size - _rows(whole)
    front = last[:, :here]
    return torch.cat([*whole, front], dim=1) if _rows(whole) else front, [last[:, here:]]
