"""Our side of a race with a peer: a transformer of the peers' sizes, trained an epoch at a time by the program's own step."""

import contextlib
import time
from typing import Any, Final

from benchmarks.accuracy.fit import device_of, epoch_batches, item_inputs
from benchmarks.accuracy.sequences import Sequences, training_rows
from benchmarks.products import RecordedProducts
from feature_store.contracts.config import validate
from ranker.compose import compose
from trainer.communicator import SingleProcess
from trainer.config import TrainerConfig
from trainer.data.plan import ReadPlan
from trainer.objective import SequenceObjective
from trainer.optim import AdamW
from trainer.step import TrainStep

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
    """One model that goes on from round to round."""

    def __init__(self, data: Sequences, precision: str, seed: int) -> None:
        self.config = validate(TrainerConfig, {**OURS, "precision": precision})
        self.ranker = compose(self.config.model, item_inputs(data, 2), seed)
        objective = SequenceObjective(self.ranker, self.config.loss, self.config.piece_tokens)
        optimizer = AdamW(self.ranker, self.config.optimizer)
        device = device_of(self.config)
        self.step = TrainStep(self.ranker, optimizer, SingleProcess(), device, objective, self.config.optimizer, seed)
        self.rows, self.seed, self.epoch, self.number = training_rows(data, 2, 50), seed, 0, 0
        self.products = RecordedProducts()

    def train(self) -> tuple[float, float, int]:
        """(seconds, mean loss over the targets, tokens) of the next epoch; the first one's products are recorded."""
        plan = ReadPlan((len(self.rows),), self.seed, self.epoch, 1, self.config.batch_rows)
        losses, targets, tokens = 0.0, 0, 0
        self.ranker.train()
        with self.products if self.epoch == 0 else contextlib.nullcontext():
            started = time.perf_counter()
            batches = epoch_batches(self.rows, plan)
            for _ in range(plan.steps):
                report = self.step(batches, self.number, RATE)
                asked = report.tokens - sum(report.rows)
                losses, targets, tokens = losses + report.loss * asked, targets + asked, tokens + report.tokens
                self.number += 1
            seconds = time.perf_counter() - started
        self.epoch += 1
        return seconds, losses / targets, tokens
