"""Our side of a race with a peer: a transformer of the peers' sizes, trained some steps at a time by the program's own step."""

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.accuracy.fit import device_of, epoch_batches, item_inputs
from benchmarks.accuracy.sequences import Sequences, training_rows
from benchmarks.products import RecordedProducts
from nightrank.feature_store.contracts.config import validate
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.ranks.communicator import SingleProcess

RATE: Final = 1e-3
OURS: Final[dict[str, Any]] = {
    "model": {
        "width": 128,
        "init": "xavier",
        "item": {"use_text": False, "use_categories": False, "use_numeric": False},
        "encoder": {"blocks": 2, "heads": 2, "dropout": 0.2, "expansion": 1},
    },
    "loss": {"name": "full_softmax"},
    "optimizer": {"weight_decay": 0.0, "clip_norm": 1e6},
    "batch_rows": 128,
}
"""The peers' sizes and start: a feed-forward layer as wide as the model, Adam without decay or clipping."""


class Ours:
    """One model that continues from round to round."""

    def __init__(self, data: Sequences, precision: str, seed: int) -> None:
        self.config = validate(TrainerConfig, {**OURS, "precision": precision})
        self.ranker = compose(self.config.model, item_inputs(data, 2), seed)
        objective = SequenceObjective(self.ranker, self.config.loss, self.config.micro_batch_tokens, self.config.reorder)
        optimizer = AdamW(self.ranker, self.config.optimizer)
        device = device_of(self.config)
        self.step = TrainStep(self.ranker, optimizer, SingleProcess(), device, objective, self.config.optimizer, seed)
        self.rows, self.seed, self.number = training_rows(data, 2, 50), seed, 0
        self.batches, self.products = self._batches(), RecordedProducts()

    def train(self, steps: int) -> tuple[float, float, int]:
        """(seconds, mean loss over the targets, targets) of the next steps; the products of the first ones are recorded."""
        losses, targets = 0.0, 0
        self.ranker.train()
        with self.products if self.number == 0 else contextlib.nullcontext():
            started = time.perf_counter()
            for _ in range(steps):
                report = self.step(self.batches, self.number, RATE)
                new_targets = report.tokens - sum(report.rows)
                losses, targets = losses + report.loss * new_targets, targets + new_targets
                self.number += 1
            seconds = time.perf_counter() - started
        return seconds, losses / targets, targets

    def _batches(self) -> Iterator[Batch]:
        """Epoch after epoch."""
        for epoch in itertools.count():
            yield from epoch_batches(self.rows, ReadPlan((len(self.rows),), self.seed, epoch, 1, self.config.batch_rows))
