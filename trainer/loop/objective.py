"""What the training step needs to know about a sequence ranker: the tokens per piece, and the configured training loss."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nightrank.ranker.batch import Batch
from nightrank.ranker.config.ranker import LossConfig
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.losses.sharded_softmax import World
from nightrank.ranker.losses.soft_labels import SoftLabels
from nightrank.ranker.losses.training import meets, training_loss
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
        world: World | None = None,
    ) -> None:
        self._ranker = ranker
        self._loss = loss
        self._micro_batch_tokens = micro_batch_tokens
        self._reorder = reorder
        self._soft = soft
        self._world = world
        self.sampler = NegativeSampler.of(loss, ranker.items.popularity)

    def micro_batches(self, batch: Batch) -> Iterator[Batch]:
        return micro_batches(reordered(batch, self._reorder), self._micro_batch_tokens)

    def loss(self, micro_batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return training_loss(self._ranker, micro_batch, self._loss, generator, self.sampler, self._soft, self._world)

    @property
    def meets(self) -> bool:
        """Ranks compute each loss together, so they need as many micro-batches."""
        return self._world is not None and meets(self._ranker, self._loss)

    def ids(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Items that the micro-batches of this batch look up: histories, targets, and the negatives that the generator will
        give each of them."""
        if self._loss.name == "full_softmax" or self._loss.sampling == "in_batch":
            return batch.items_T
        pool = self._loss.hard_pool if self._loss.sampling == "hard" else 1
        drawn, _ = self.sampler.draw(self._loss.negatives * pool, generator)
        return torch.cat([batch.items_T, drawn.to(batch.items_T.device)])
