"""Batches of impressions that fit in memory: a permutation an epoch, cut into even batches. Shapes: N rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.trainer.loop.source import phase_seed


@dataclass(frozen=True)
class MemorySource:
    """Every row once an epoch over all ranks, in an order that follows from (seed, epoch) alone."""

    rows_N: ImpressionBatch
    batch_rows: int
    """Of a step over all ranks, at most. Steps differ by a row, so that none is left with too few for batch norm."""
    seed: int
    rank: int = 0
    world_size: int = 1

    def steps(self, epoch: int) -> int:
        return -(-self.rows_N.rows // self.batch_rows)

    def rows(self, epoch: int) -> int:
        return self.rows_N.rows

    def batches(self, epoch: int, start_step: int = 0) -> Iterator[ImpressionBatch]:
        """This rank's share of each step from `start_step` on."""
        generator = torch.Generator().manual_seed(phase_seed(self.seed, f"epoch {epoch}"))
        order = torch.randperm(self.rows_N.rows, generator=generator)
        shares = self.steps(epoch) * self.world_size
        for step in range(start_step, self.steps(epoch)):
            share = step * self.world_size + self.rank
            first, last = (len(order) * edge // shares for edge in (share, share + 1))
            yield self.rows_N.take(order[first:last])
