"""What the training step needs to know about a sequence ranker: the tokens per piece, and the configured training loss."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nightrank.ranker.batch import Batch
from nightrank.ranker.config.ranker import LossConfig
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.losses.soft_labels import SoftLabels
from nightrank.ranker.losses.training import training_loss
from nightrank.ranker.model import Ranker
from nightrank.trainer.loop.reorder import reordered
from nightrank.trainer.loop.step import micro_batches


class SequenceObjective:
    def __init__(
        self,
        ranker: Ranker,
        loss: LossConfig,
        micro_batch_tokens: int,
        reorder: float = 0.0,
        soft: SoftLabels | None = None,
    ) -> None:
        self._ranker = ranker
        self._loss = loss
        self._micro_batch_tokens = micro_batch_tokens
        self._reorder = reorder
        self._soft = soft
        self.sampler = NegativeSampler.of(loss, ranker.items.popularity)

    def micro_batches(self, batch: Batch) -> Iterator[Batch]:
        return micro_batches(reordered(batch, self._reorder), self._micro_batch_tokens)

    def loss(self, micro_batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return training_loss(self._ranker, micro_batch, self._loss, generator, self.sampler, self._soft)
