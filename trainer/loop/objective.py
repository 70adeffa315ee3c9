"""What the step is told of a sequence ranker: pieces of so many tokens, and the training loss of the configuration."""

from collections.abc import Iterator

import torch
from torch import Tensor

from nightrank.ranker.batch import Batch
from nightrank.ranker.config.ranker import LossConfig
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.losses.training import training_loss
from nightrank.ranker.model import Ranker
from nightrank.trainer.loop.reorder import reordered
from nightrank.trainer.loop.step import pieces


class SequenceObjective:
    def __init__(self, ranker: Ranker, loss: LossConfig, piece_tokens: int, reorder: float = 0.0) -> None:
        self._ranker = ranker
        self._loss = loss
        self._piece_tokens = piece_tokens
        self._reorder = reorder
        self._sampler = NegativeSampler.of(loss, ranker.items.popularity)

    def pieces(self, batch: Batch) -> Iterator[Batch]:
        return pieces(reordered(batch, self._reorder), self._piece_tokens)

    def loss(self, piece: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return training_loss(self._ranker, piece, self._loss, generator, self._sampler)
