"""A table in training: its rows, what moves them, and what a step does with both."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from nightrank.ranker.batch import Batch
from nightrank.ranker.model import IDS, Ranker
from nightrank.ranker.tables.row_files import RowFiles
from nightrank.ranker.tables.row_table import RowTable
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.stored import MODEL, OPTIMIZER, named
from nightrank.trainer.ranks.communicator import Communicator
from nightrank.trainer.tables.exchange import RowExchange, RowGradient
from nightrank.trainer.tables.optimizers import EveryRow, RowOptimizer, RowwiseAdagrad, SparseAdam

OPTIMIZERS: Final[dict[str, type[RowOptimizer]]] = {
    "adamw": EveryRow,
    "sparse_adam": SparseAdam,
    "rowwise_adagrad": RowwiseAdagrad,
}


class TrainedTable:
    """The table of item ids where it is not an ordinary parameter: held by row, or exchanged by row."""

    def __init__(self, table: RowTable, config: TrainerConfig, communicator: Communicator) -> None:
        self.table, self.communicator = table, communicator
        self.exchange = RowExchange(table, communicator)
        self.optimizer = optimizer_of_table(table, config)
        self.wants_to_save: Callable[[], bool] = lambda: False
        """Asked of rank 0 in every step."""
        self.due = False
        """Rank 0 wanted to save in the last step: the same on every rank."""
        self._gradient: RowGradient | None = None

    def push(self) -> float:
        """All ranks together, after backward. The sum of squares of the gradient of this rank's rows, as part of the sum over
        ranks: rows that every rank holds count on rank 0 alone."""
        self._gradient = self.exchange.push()
        return self._gradient.square() if self.exchange.sharded or self.communicator.rank == 0 else 0.0

    def step(self, rate: float, divisor: float) -> None:
        """Moves the held rows by their gradient / divisor."""
        assert self._gradient is not None
        with torch.no_grad():
            self.optimizer.step(self._gradient, rate, divisor)
        self._gradient = None

    @property
    def shared(self) -> bool:
        """No rank holds every row."""
        return self.exchange.sharded

    @property
    def state(self) -> dict[str, Tensor]:
        """The optimizer's state as `<table>/<moment>`, what is there for each row and what belongs to the whole table."""
        return {f"{IDS}/{key}": value for key, value in self.moments.items()}

    def own_rows(self) -> dict[str, Tensor]:
        """What this rank alone holds, as a checkpoint names it."""
        by_row = {OPTIMIZER + name: value for name, value in self.state.items() if value.dim()}
        return {MODEL + IDS: self.table.weight.detach(), **by_row}

    def read(self, files: RowFiles, weights: bool = True) -> None:
        """Takes the rows that are in a checkpoint's files, of however many ranks. New rows, and a moment that is not there,
        stay as they are."""
        stored = files.names()
        places = {OPTIMIZER + name: value for name, value in self.state.items() if value.dim()}
        if weights:
            places[MODEL + IDS] = self.table.weight.detach()
        for name, mine in places.items():
            if name in stored:
                files.read_into(name, self.table.rows, mine)

    @property
    def moments(self) -> dict[str, Tensor]:
        """By row, or one number of the table; the tensors themselves."""
        return self.optimizer.moments

    def load(self, optimizer: Mapping[str, Tensor]) -> None:
        """Takes the values that `state` gave; a moment without an entry starts afresh."""
        self.optimizer.load(named(optimizer, f"{IDS}/"))

    @property
    def facts(self) -> dict[str, Any]:
        """What the curve depends on."""
        return {"by": type(self.optimizer).__name__, "rate": self.optimizer.rate}

    def of_every_rank(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights that every rank holds."""
        return {name: value for name, value in weights.items() if not (self.shared and name == IDS)}

    def of_one_rank(self, optimizer: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What rank 0 can tell of an optimizer's state: not the rows, where ranks share them out."""
        return {name: v for name, v in optimizer.items() if not (self.shared and name.startswith(f"{IDS}/") and v.dim())}


class TableStep:
    """What a training step does with the table: which rows it fetches, and micro-batches that all ranks take together."""

    def __init__(self, trained: TrainedTable, objective: SequenceObjective) -> None:
        self.trained, self._objective = trained, objective

    def fetch(self, batch: Batch | None, generator: torch.Generator) -> None:
        """Every row that this rank's micro-batches will look up; a rank without a batch gives what others ask for."""
        ids = torch.zeros(0, dtype=torch.int64) if batch is None else self._objective.ids(batch, generator)
        self.trained.exchange.fetch(ids)

    def together(self, micro_batches: list[Batch]) -> list[Batch]:
        """As many on every rank where ranks compute a loss together; else as they are."""
        if not self._objective.meets:
            return micro_batches
        most = max(self.trained.communicator.gather(len(micro_batches)))
        return micro_batches + [Batch.from_lists([])] * (most - len(micro_batches))

    def discard(self) -> None:
        self.trained.exchange.discard()


def optimizer_of_table(table: RowTable, config: TrainerConfig) -> RowOptimizer:
    return OPTIMIZERS[optimizer_name(config)](table, config.optimizer, config.tables.rate)


def optimizer_name(config: TrainerConfig) -> str:
    """What moves a table of rows under this configuration."""
    if config.tables.optimizer != "auto":
        return config.tables.optimizer
    return "adamw" if config.loss.name == "full_softmax" else "sparse_adam"


def trained_table(ranker: Ranker, config: TrainerConfig, communicator: Communicator) -> TrainedTable | None:
    """None where the ranker's table is an ordinary parameter."""
    table = ranker.row_table
    return None if table is None else TrainedTable(table, config, communicator)
