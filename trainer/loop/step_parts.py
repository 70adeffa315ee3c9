"""What a training step needs to know of rows, of a model, and of a table whose rows travel by themselves."""

from collections.abc import Callable, Iterator
from typing import Final, Protocol, Self, TypeVar

import torch
from torch import Tensor

TABLE_EXTRAS: Final = 2
"""What a table by row adds to the sums over ranks: the square of its gradient, and whether rank 0 wants to save."""


class Rows(Protocol):
    """What a step takes: a batch of any kind."""

    @property
    def rows(self) -> int: ...

    @property
    def tokens(self) -> int: ...

    @property
    def label(self) -> str:
        """Names the rows in a fault, without a raw id."""
        ...

    def to(self, device: torch.device | str) -> Self: ...


Taken = TypeVar("Taken", bound=Rows)


class Objective(Protocol[Taken]):
    """What a step needs to know of a model: how a batch is cut, and what a micro-batch of it costs."""

    def micro_batches(self, batch: Taken) -> Iterator[Taken]: ...

    def loss(self, micro_batch: Taken, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(weighted loss sum, weight sum), to be added up over micro-batches and ranks and divided once."""
        ...


class Penalty(Protocol):
    def penalty(self) -> None:
        """Adds to the gradients of the mean loss."""
        ...


class TableMover(Protocol):
    """A table whose rows travel by themselves."""

    due: bool

    @property
    def wants_to_save(self) -> Callable[[], bool]: ...

    def push(self) -> float:
        """All ranks together; this rank's part of the sum of squares of the rows' gradient."""
        ...

    def step(self, rate: float, divisor: float) -> None: ...


class TableRows(Protocol[Taken]):
    """What a step asks of such a table; every rank does so in every step, also without a batch."""

    @property
    def trained(self) -> TableMover: ...

    def fetch(self, batch: Taken | None, generator: torch.Generator) -> None: ...

    def together(self, micro_batches: list[Taken]) -> list[Taken]:
        """Those of a rank, with empty ones where other ranks have more and all are needed for each."""
        ...

    def discard(self) -> None: ...
