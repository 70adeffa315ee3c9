"""ReadPlan: which rows, which rank, which step. Pure arithmetic over row-group sizes; no file is opened here.

How an epoch is laid out:

1. The row groups are permuted by (seed, epoch), and the rows of each are permuted by (seed, epoch, row group). The result is
   one long stream of rows, the same on every rank.
2. Rank r owns rows [r R / W, (r + 1) R / W) of the stream. A row group on a border is read by both neighbours, each slicing
   its own.
3. Every rank cuts its rows into the same number of steps; batch sizes of one rank differ by at most one.
4. Steps are grouped into windows. Inside a window rows are sorted by length (ties in random order) and cut into batches, and
   the batches are then taken in an order that all ranks share: at any step all ranks work on rows of about the same length.

Memory is bounded by rows: a batch has at most `batch_rows`, a row at most the snapshot's longest history, so a batch has at
most batch_rows x longest tokens. In memory are the batches of the windows that touch one row group (a window has `window_rows`
rows, or one batch, if that is more), that row group, and a few that the reader's threads have read ahead. Batches are not
bounded by tokens, because then the number of steps would depend on lengths that no rank knows of the others.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.trainer.data.compiled import assigned, permutation, sorted_by_length

Indices = npt.NDArray[np.int64]

REVISION: Final = 2
"""Of the orders that seeds give. A checkpoint of another revision is not resumed: its epoch would continue with other rows."""

GROUP_ORDER: Final = 1
ROW_ORDER: Final = 2
BATCH_ORDER: Final = 3
TIES: Final = 4


@dataclass(frozen=True)
class Segment:
    """Places [start, stop) of a row group's permuted rows."""

    group: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Window:
    """Steps [first_step, first_step + len(sizes)) of one rank, over its rows [first_row, first_row + sum(sizes))."""

    index: int
    first_step: int
    first_row: int
    sizes: tuple[int, ...]
    """Rows of each batch in the order of length, not of steps."""

    @property
    def rows(self) -> int:
        return sum(self.sizes)


class Assigned(NamedTuple):
    """The batch of each of a window's rows, counted from the window's first step; rows and tokens of each batch."""

    batch_of_place: npt.NDArray[np.int32]
    rows: Indices
    tokens: Indices


@dataclass(frozen=True)
class ReadPlan:
    """One epoch over one part of a snapshot. Equal fields give equal plans; file names play no role, so a rebuilt table with
    the same row groups is read in the same order."""

    row_groups: tuple[int, ...]
    """Rows of each row group, in the order of the snapshot's files."""
    seed: int
    epoch: int
    world_size: int
    batch_rows: int
    window_rows: int = 32_768
    most_rows: int | None = None
    """The epoch ends with this row of the stream, where it is longer: the same sample whatever the world size."""

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("epoch", 0), ("world_size", 1), ("batch_rows", 1), ("window_rows", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"read plan: {name} is {getattr(self, name)}, less than {least}", f"give {name} >= {least}")

    @cached_property
    def rows(self) -> int:
        rows = sum(self.row_groups)
        return rows if self.most_rows is None else min(rows, self.most_rows)

    @cached_property
    def steps(self) -> int:
        """Batches each rank takes; the same number on all, 0 where there are no rows. A batch is without a row only where there
        are fewer rows than ranks, or where a rank has a row less and `batch_rows` is 1."""
        most = -(-self.rows // self.world_size)
        return -(-most // self.batch_rows)

    @cached_property
    def order(self) -> Indices:
        """Row groups in the order of the stream."""
        return self._random(GROUP_ORDER).permutation(len(self.row_groups)).astype(np.int64)

    @cached_property
    def _group_starts(self) -> Indices:
        sizes = np.asarray(self.row_groups, dtype=np.int64)[self.order]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])

    def rank_range(self, rank: int) -> tuple[int, int]:
        """[first, last) row of the stream that the rank owns; ranks differ by at most one row."""
        return self.rows * rank // self.world_size, self.rows * (rank + 1) // self.world_size

    def rank_rows(self, rank: int) -> int:
        first, last = self.rank_range(rank)
        return last - first

    def segments(self, rank: int, from_row: int = 0) -> tuple[Segment, ...]:
        """What the rank reads, in order, from its row `from_row` on. No row group appears twice."""
        first, last = self.rank_range(rank)
        first += from_row
        if first >= last:
            return ()
        starts = self._group_starts
        low = int(np.searchsorted(starts, first, side="right")) - 1
        high = int(np.searchsorted(starts, last, side="left"))
        cut = (
            Segment(int(self.order[i]), max(first - int(starts[i]), 0), int(min(last, starts[i + 1]) - starts[i]))
            for i in range(low, high)
        )
        return tuple(segment for segment in cut if segment.rows)

    def row_order(self, segment: Segment) -> Indices:
        """Row numbers inside the row group that the segment stands for, in stream order."""
        order = np.empty(self.row_groups[segment.group], np.int64)
        permutation(order, self._seed(ROW_ORDER, segment.group))
        return order[segment.start : segment.stop]

    @property
    def window_steps(self) -> int:
        return max(1, self.window_rows // self.batch_rows)

    def bounds(self, rank: int) -> list[int]:
        """[steps + 1]: step s takes as many of the rank's rows as lie between bound s and the next."""
        rows, steps = self.rank_rows(rank), self.steps
        return [rows * step // steps for step in range(steps + 1)] if steps else [0]

    def windows(self, rank: int, from_step: int = 0) -> tuple[Window, ...]:
        """The rank's windows, from the one that holds `from_step` on."""
        bounds, steps = self.bounds(rank), self.steps
        return tuple(
            Window(
                index=first // self.window_steps,
                first_step=first,
                first_row=bounds[first],
                sizes=tuple(bounds[i + 1] - bounds[i] for i in range(first, min(first + self.window_steps, steps))),
            )
            for first in range(from_step // self.window_steps * self.window_steps, steps, self.window_steps)
        )

    def batches(self, window: Window, rank: int, lengths: npt.NDArray[np.integer[Any]]) -> list[Indices]:
        """Places inside the window of the rows of each batch, in step order. `lengths` holds n of the window's rows."""
        by_length = np.empty(len(lengths), np.int64)
        sorted_by_length(by_length, np.ascontiguousarray(lengths, np.int32), self._seed(TIES, window.index, rank))
        buckets = np.split(by_length, np.cumsum(window.sizes)[:-1])
        return [buckets[i] for i in self._bucket_of_batch(window)]

    def assigned(self, window: Window, rank: int, lengths: npt.NDArray[np.int32]) -> Assigned:
        """The same the other way round: the batch of each place."""
        bucket_of_batch, sizes = self._bucket_of_batch(window), np.array(window.sizes, np.int64)
        batch_of_place, tokens = np.empty(len(lengths), np.int32), np.zeros(len(sizes), np.int64)
        batch_of_bucket = np.argsort(bucket_of_batch).astype(np.int64)
        assigned(batch_of_place, tokens, lengths, sizes, batch_of_bucket, self._seed(TIES, window.index, rank))
        return Assigned(batch_of_place, sizes[bucket_of_batch], tokens)

    def _bucket_of_batch(self, window: Window) -> Indices:
        """The same on all ranks."""
        return self._random(BATCH_ORDER, window.index).permutation(len(window.sizes))

    def _random(self, purpose: int, *keys: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, purpose, *keys])

    def _seed(self, purpose: int, *keys: int) -> int:
        return int(np.random.SeedSequence([self.seed, self.epoch, purpose, *keys]).generate_state(1, np.uint64)[0])
