"""Batches that are filled while row groups come by.

A row group is processed once, in the order of the file, when the batch of each of its rows is known; each row is written to
the end of its batch. So a window's batches are whole when the row groups that it touches have passed. In memory are the row
groups that are read ahead, the one that is being planned, and the batches of the windows that touch it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from nightrank.ranker.batch import Batch
from nightrank.trainer.data.compiled import scatter_rows
from nightrank.trainer.data.plan import Indices, ReadPlan, Window
from nightrank.trainer.data.rows import Array, Rows, address_of, offsets_of

CURSOR: Final = 10
"""Seven addresses; rows and tokens there is room for; tokens written."""
ROWS_LEFT: Final = 7


class BatchBuffer:
    """Batches of known sizes that wait for their rows. They are slices of common memory, in the widths of the files."""

    def __init__(self, rows: Indices, tokens: Indices) -> None:
        self._rows, self._tokens = rows, tokens
        row_at, token_at, batch = offsets_of(rows)[:-1], offsets_of(tokens)[:-1], np.arange(len(rows))
        kinds = (np.int32, np.int8, np.int64)
        self._flat = [np.empty(int(tokens.sum()), kind) for kind in kinds]
        self._ends = np.empty(int(rows.sum()) + len(rows), np.int64)
        self._ends[row_at + batch] = 0
        self._columns = [np.empty(int(rows.sum()), kind) for kind in (np.int64, np.int64, np.float32)]
        addresses = [
            *(address_of(values) + values.itemsize * token_at for values in self._flat),
            address_of(self._ends) + 8 * (row_at + batch + 1),
            *(address_of(values) + values.itemsize * row_at for values in self._columns),
        ]
        self.cursors = np.stack([*addresses, rows, tokens, np.zeros_like(rows)], axis=1)

    @property
    def is_full(self) -> bool:
        return not self.cursors[:, ROWS_LEFT].any()

    def batches(self) -> list[Batch]:
        rows, tokens = self._rows.tolist(), self._tokens.tolist()
        items, actions, times = (torch.from_numpy(values).split(tokens) for values in self._flat)
        loss_from, users, weight = (torch.from_numpy(values).split(rows) for values in self._columns)
        offsets = torch.from_numpy(self._ends).split([count + 1 for count in rows])
        return [Batch(*of) for of in zip(items, actions, times, offsets, loss_from, weight, users, strict=True)]


@dataclass
class Passing:
    """A row group on its way: its rows at `order` are assigned to batches."""

    rows: Rows
    order: Indices
    taken: int = 0
    buffers: list[BatchBuffer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._batch_of_row = np.full(len(self.rows), -1, np.int32)

    @property
    def left(self) -> int:
        return len(self.order) - self.taken

    def lengths(self, count: int) -> Array:
        """Of the next `count` rows."""
        lengths: Array = self.rows.lengths.take(self.order[self.taken : self.taken + count])
        return lengths

    def assign(self, batches: npt.NDArray[np.int32], buffer: BatchBuffer) -> None:
        """The next rows go into these batches of the buffer."""
        before = sum(len(known.cursors) for known in self.buffers)
        self._batch_of_row[self.order[self.taken : self.taken + len(batches)]] = batches + before
        self.taken += len(batches)
        self.buffers.append(buffer)

    def scatter(self) -> None:
        """Every row that was assigned is in its batch."""
        cursors = np.concatenate([buffer.cursors for buffer in self.buffers])
        scatter_rows(self.rows.place, self._batch_of_row, cursors)
        first = 0
        for buffer in self.buffers:
            buffer.cursors[:] = cursors[first : first + len(buffer.cursors)]
            first += len(buffer.cursors)


def filled(
    plan: ReadPlan, rank: int, windows: Iterable[Window], groups: Iterator[Passing], wrong: Callable[[str], Exception]
) -> Iterator[tuple[Window, BatchBuffer]]:
    """Each window with its batches, in step order. What `wrong` makes is raised where windows and row groups do not end
    together."""
    passing: list[Passing] = []
    waiting: deque[tuple[Window, BatchBuffer]] = deque()
    for window in windows:
        have = sum(group.left for group in passing)
        while have < window.rows:
            group = next(groups, None)
            if group is None:
                raise wrong("the row groups ended before the last window")
            passing.append(group)
            have += group.left
        waiting.append((window, _assigned(plan, rank, window, passing)))
        for group in passing:
            if not group.left:
                group.scatter()
        passing = [group for group in passing if group.left]  # none, or the last
        while waiting and waiting[0][1].is_full:
            yield waiting.popleft()
    left = sum(group.left for group in chain(passing, groups))
    if left:
        raise wrong(f"{left} rows were left over")


def _assigned(plan: ReadPlan, rank: int, window: Window, passing: list[Passing]) -> BatchBuffer:
    """The window's rows assigned to its batches, as the plan has them: all that the row groups have left, less what the last
    of them has more than the window takes."""
    counts = [group.left for group in passing]
    if counts:
        counts[-1] -= sum(counts) - window.rows
    pieces = list(zip(passing, counts, strict=True))
    lengths = np.concatenate([np.zeros(0, np.int32), *(group.lengths(count) for group, count in pieces)])
    assigned = plan.assigned(window, rank, lengths)
    buffer = BatchBuffer(assigned.rows, assigned.tokens)
    at = 0
    for group, count in pieces:
        group.assign(assigned.batch_of_place[at : at + count], buffer)
        at += count
    return buffer
