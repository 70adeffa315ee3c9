"""Where a phase's batches come from: one part of the snapshot, or one part with replay of another mixed in."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.batch import Batch
from nightrank.ranker.features import FeatureTables
from nightrank.trainer.config.training import ReaderName
from nightrank.trainer.data.collate import joined
from nightrank.trainer.data.epoch import EpochReader, make_plan
from nightrank.trainer.data.plan import ReadPlan


class Source(Protocol):
    """Batches of any epoch from any step on. `steps` and `rows` are the same on every rank and known beforehand."""

    def steps(self, epoch: int) -> int: ...

    def rows(self, epoch: int) -> int:
        """Rows of the whole epoch over all ranks, as it is planned."""
        ...

    def pinned_rows(self, epoch: int) -> int:
        """Rows that the snapshot has for the epoch: what is not read of them is dropped."""
        ...

    def batches(self, epoch: int, start_step: int) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class PartSource:
    """Every row of one part once per epoch over all ranks, in the order of its ReadPlan. The plan is for `shares` ranks; where
    there are fewer, rank r of W takes shares r, r + W, r + 2 W ... of every step."""

    snapshot: DatasetSnapshot
    tables: Location
    part: PartName
    seed: int
    rank: int
    world_size: int
    batch_rows: int
    reader: ReaderName = "petastorm"
    features: FeatureTables | None = None
    """Fills the batches where the ranker reads features."""
    shares: int | None = None
    """As many as ranks where it is null."""

    def plan(self, epoch: int) -> ReadPlan:
        return make_plan(
            self.snapshot,
            self.part,
            seed=self.seed,
            epoch=epoch,
            world_size=self.shares or self.world_size,
            batch_rows=self.batch_rows,
        )

    def steps(self, epoch: int) -> int:
        return self.plan(epoch).steps

    def rows(self, epoch: int) -> int:
        return self.plan(epoch).rows

    def pinned_rows(self, epoch: int) -> int:
        return self.snapshot.rows(self.part)

    def batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        plan = self.plan(epoch)
        readers = [
            EpochReader(self.snapshot, self.tables, self.part, plan, share, start_step, self.reader)
            for share in range(self.rank, plan.world_size, self.world_size)
        ]
        batches = map(joined, zip(*readers, strict=True))
        return batches if self.features is None else map(self.features.fill, batches)

    def rows_of_first(self, steps: int, epoch: int) -> int:
        """Rows over all ranks in the epoch's first `steps` steps. Batch sizes do not depend on lengths, so none are read."""
        plan = self.plan(epoch)
        return sum(
            sum(
                len(batch) for batch in plan.batches(window, rank, np.zeros(window.rows, np.int64))[: steps - window.first_step]
            )
            for rank in range(plan.world_size)
            for window in plan.windows(rank)
            if window.first_step < steps
        )


@dataclass(frozen=True)
class MixedSource:
    """All of `main`, and between its batches the first steps of an epoch of `replay`, spread evenly.

    The rows of a file are in the order of a hash of the user, and the plan permutes row groups and rows: the first steps
    of an epoch are a uniform sample of users.
    """

    main: PartSource
    replay: PartSource
    fraction: float
    """Replay steps as a share of main's, as far as replay has them."""

    def replay_steps(self, epoch: int) -> int:
        return min(round(self.fraction * self.main.steps(epoch)), self.replay.steps(epoch))

    def steps(self, epoch: int) -> int:
        return self.main.steps(epoch) + self.replay_steps(epoch)

    def rows(self, epoch: int) -> int:
        return self.main.rows(epoch) + self.replay.rows_of_first(self.replay_steps(epoch), epoch)

    def pinned_rows(self, epoch: int) -> int:
        """Replay is a sample: what the epoch does not take of it is not dropped."""
        return self.main.pinned_rows(epoch) + self.replay.rows_of_first(self.replay_steps(epoch), epoch)

    def batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        total, replayed = self.steps(epoch), self.replay_steps(epoch)
        before = start_step * replayed // total if total else 0
        main = self.main.batches(epoch, start_step - before)
        replay = self.replay.batches(epoch, before) if replayed else iter(())
        for step in range(start_step, total):
            is_replay = (step + 1) * replayed // total > step * replayed // total
            yield next(replay if is_replay else main)
        yield from main


EARLIER_NAMES: Final = {"fit": "measure", "refit": "refresh", "refit.replay": "refresh.replay", "ctr": "clicks"}
"""Phases keep the seeds of the names they had, so that earlier figures can be reproduced."""


def phase_seed(seed: int, phase: str) -> int:
    """Phases read in unrelated orders: a seed of its own for each, the same on every machine."""
    return (seed * 1_000_003 + zlib.crc32(EARLIER_NAMES.get(phase, phase).encode())) % 2**31
