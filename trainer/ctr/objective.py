"""What the training step needs to know about a click ranker."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.compose import CtrRanker
from nightrank.ranker.ctr.loss import ctr_loss


class CtrObjective:
    """A batch is one piece: batch norm would take the rows of a part for the whole."""

    def __init__(self, ranker: CtrRanker, smoothing: float = 0.0) -> None:
        self._ranker = ranker
        self._smoothing = smoothing

    def micro_batches(self, batch: ImpressionBatch) -> Iterator[ImpressionBatch]:
        yield batch

    def loss(self, micro_batch: ImpressionBatch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return ctr_loss(self._ranker(micro_batch), micro_batch.labels_BA, micro_batch.weight_B, self._smoothing)


class TablePenalty:
    """L2 on the embedding tables and on nothing else: adds `strength * table` to their gradients of the mean loss."""

    def __init__(self, ranker: CtrRanker, strength: float) -> None:
        self._tables = ranker.tables()
        self._strength = strength

    def penalty(self) -> None:
        for table in self._tables:
            assert table.grad is not None
            table.grad.add_(table.detach(), alpha=self._strength)
