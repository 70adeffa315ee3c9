"""TrainStep: the mathematics of one step, on one rank and over all of them."""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.ranker.batch import Batch
from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.loop.optim import FAULTS, LOSS, ROWS, TOKENS, WEIGHT, AdamW, FlatGradient, divisor, trainable
from nightrank.trainer.loop.source import phase_seed
from nightrank.trainer.loop.step_parts import TABLE_EXTRAS, Objective, Penalty, TableRows, Taken
from nightrank.trainer.ranks.communicator import Communicator, raise_if_any_failed
from nightrank.trainer.ranks.device import Device, choose_attention
from nightrank.trainer.ranks.faults import DivergedError


@dataclass(frozen=True)
class StepReport:
    """What a step did, over all ranks: the same values on each."""

    loss: float
    rows: list[int]
    """By rank."""
    tokens: int
    gradient_norm: float
    """With slowmo: of this rank's own gradient."""


class TrainStep(Generic[Taken]):
    """One global batch: each rank's loss sum and its gradient, one sum over all ranks, its norm, and AdamW, which divides and
    clips as it goes.

    Two ranks with half of the rows each therefore take the step that one rank would take with all of them, unless the
    model's rows know of each other (batch norm).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: AdamW,
        communicator: Communicator,
        device: Device,
        objective: Objective[Taken],
        config: OptimizerConfig,
        seed: int,
        anchor: Penalty | None = None,
        table: TableRows[Taken] | None = None,
    ) -> None:
        self._optimizer = optimizer
        self._communicator = communicator
        self._device = device
        self._objective = objective
        self._config = config
        self._seed = seed
        self._anchor = anchor
        self._table = table
        self._flat = FlatGradient(list(trainable(model).values()), communicator.size, 0 if table is None else TABLE_EXTRAS)
        self._generator = torch.Generator()
        self._taken: list[tuple[Taken, Tensor]] = []
        choose_attention(model, device)

    def __call__(self, batches: Iterator[Taken], step: int, rate: float, last: bool = False) -> StepReport:
        """Takes the next batch and moves the weights. A fault of one rank is raised on all; DivergedError for a loss or a
        gradient that is NaN or infinite, before any weight has changed. `last`: of an epoch, after which ranks are equal."""
        self._flat.zero()
        fault = self._passes(batches, step)
        if fault is not None:
            self._flat.zero()
            self._flat.extras[FAULTS] = 1
        if self._table is not None:
            self._push(self._table, fault)
        weight = self._reduce()
        extras = self._flat.extras.tolist()
        if self._table is not None:
            self._table.trained.due = extras[-1] > 0
        if extras[FAULTS]:
            raise_if_any_failed(self._communicator, fault)
        norm = self._update(extras[LOSS], extras[WEIGHT] if weight is None else weight, step, rate)
        self._optimizer.end_step(self._communicator, rate, last)
        mean = extras[LOSS] / extras[WEIGHT] if extras[WEIGHT] else 0.0
        rows = extras[ROWS : ROWS + self._communicator.size]
        return StepReport(mean, [int(n) for n in rows], int(extras[TOKENS]), norm)

    def _passes(self, batches: Iterator[Taken], step: int) -> NightrankError | None:
        """Forward and backward of this rank's batch; a fault is returned. Ranks that have none wait for no row of this one."""
        if self._table is None:
            try:
                self._backward(next(batches), step)
            except NightrankError as error:
                return error
            return None
        batch: Taken | None = None
        fault: NightrankError | None = None
        try:
            batch = next(batches)
        except NightrankError as error:
            fault = error
        self._seed_negatives(step)
        self._table.fetch(batch, self._generator)
        self._backward(batch, step)
        return fault

    def _push(self, table: TableRows[Taken], fault: NightrankError | None) -> None:
        """The rows' gradients are with those who hold them; their square, and whether rank 0 wants to save, travel along."""
        if fault is not None:
            table.discard()
        square, due = self._flat.extras[-TABLE_EXTRAS:]
        square.fill_(table.trained.push())
        due.fill_(float(self._communicator.rank == 0 and table.trained.wants_to_save()))

    def _reduce(self) -> float | None:
        """Sums over all ranks. Where each steps by its own gradient: that gradient's weight, and a loss that is no number if
        any rank's gradient is none."""
        if not self._optimizer.local:
            self._flat.reduce(self._communicator)
            return None
        weight = float(self._flat.extras[WEIGHT])
        if not math.isfinite(self._flat.norm()):
            self._flat.extras[LOSS] = math.nan
        self._communicator.allreduce_sum(self._flat.extras)
        return weight

    def _backward(self, batch: Taken | None, step: int) -> None:
        self._seed_dropout(step)
        extras = self._flat.extras
        self._taken = []
        for micro_batch in self._micro_batches(batch):
            self._seed_negatives(step)
            with self._device.autocast():
                there = micro_batch.to(self._device.torch_device)
                loss, weight = self._objective.loss(there, self._generator)
            loss.backward()
            self._taken.append((micro_batch, loss.detach()))
            extras[LOSS] += loss.detach()
            extras[WEIGHT] += weight
        if batch is not None:
            extras[TOKENS] = batch.tokens
            extras[ROWS + self._communicator.rank] = batch.rows

    def _micro_batches(self, batch: Taken | None) -> Iterator[Taken]:
        mine = iter(()) if batch is None else self._objective.micro_batches(batch)
        return mine if self._table is None else iter(self._table.together(list(mine)))

    def _seed_dropout(self, step: int) -> None:
        """Randomness is a function of (seed, step, rank), so a resumed run needs no generator's state."""
        torch.manual_seed(phase_seed(self._seed, f"{step}.{self._communicator.rank}"))

    def _seed_negatives(self, step: int) -> None:
        """The same negatives for all micro-batches on all ranks, as they would be for one rank with the whole batch at once."""
        self._generator.manual_seed(phase_seed(self._seed, f"{step}"))

    def _update(self, loss: float, weight: float, step: int, rate: float) -> float:
        if weight <= 0 and math.isfinite(loss):
            return 0.0
        over = weight if weight > 0 else 1.0
        if self._anchor is not None:
            self._flat.divide(over)
            self._anchor.penalty()
            over = 1.0
        undivided = self._norm()
        norm = undivided / over
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise self._diverged(f"step {step}: loss sum {loss}, gradient norm {norm}, over a weight of {weight}")
        by = divisor(undivided, over, self._config.clip_norm)
        self._optimizer.step(rate, by)
        if self._table is not None:
            self._table.trained.step(rate, by)
        return norm

    def _norm(self) -> float:
        """Of the whole gradient, rows of a table that travelled by themselves included."""
        if self._table is None:
            return self._flat.norm()
        square = float(self._flat.extras[-TABLE_EXTRAS])
        return math.sqrt(self._flat.norm() ** 2 + square)

    def _diverged(self, what: str) -> DivergedError:
        """The same fault on all ranks: it names the micro-batches, on the first rank that has any, whose own loss is no
        number. Where every loss is a number and the gradient is not, it is returned with all the micro-batches of this rank."""
        broken = [micro_batch for micro_batch, loss in self._taken if not math.isfinite(float(loss))]
        raise_if_any_failed(self._communicator, self._naming(broken, what) if broken else None)
        return self._naming([micro_batch for micro_batch, _ in self._taken], f"{what}, every loss a number")

    def _naming(self, suspects: list[Taken], what: str) -> DivergedError:
        named = ", ".join(micro_batch.label for micro_batch in suspects) or "no rows"
        return DivergedError(
            f"{what}; rank {self._communicator.rank} had {named}",
            "the last good checkpoint is kept; lower the phase's learning_rate or clip_norm, or check that batch",
        )


def micro_batches(batch: Batch, tokens: int) -> Iterator[Batch]:
    """The batch's rows in order, cut so that no micro-batch of more than one row holds more than `tokens` tokens."""
    ends = batch.offsets_B1.tolist()
    first = 0
    while first < batch.rows:
        last = max(bisect_right(ends, ends[first] + tokens) - 1, first + 1)
        yield rows_between(batch, first, last)
        first = last


def rows_between(batch: Batch, first: int, last: int) -> Batch:
    """Rows [first, last)."""
    start, stop = int(batch.offsets_B1[first]), int(batch.offsets_B1[last])
    return Batch(
        items_T=batch.items_T[start:stop],
        actions_T=batch.actions_T[start:stop],
        times_T=batch.times_T[start:stop],
        offsets_B1=batch.offsets_B1[first : last + 1] - start,
        loss_from_B=batch.loss_from_B[first:last],
        weight_B=batch.weight_B[first:last],
        users_B=batch.users_B[first:last],
        **batch.side(slice(start, stop)),
    )
