"""How ranks talk. One process is a world of size one, so nothing else asks whether training is distributed.

Small values travel as JSON, never as pickles. A fault of one rank is raised on all of them (`run_on_all_ranks`), so that
no rank is left waiting in a collective that will not come.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.trainer.ranks.faults import fault_from_json

Json = Any
Value = TypeVar("Value")


class PeerLost(Exception):
    """A collective ended early because another rank has gone. That rank is to blame, not this one."""


class Communicator(Protocol):
    """Collectives: every rank calls the same ones in the same order, with tensors of the same shape and type."""

    backend: str
    lossy: bool
    """Gradients travel in 16 bits: send what must be exact on its own."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def local_rank(self) -> int:
        """This rank's place among those of its machine: the index of its GPU."""
        ...

    @property
    def local_size(self) -> int:
        """Ranks on this machine: they share its cores."""
        ...

    def allreduce_sum(self, tensor: Tensor, lossy: bool = False) -> None:
        """In place: the sum over all ranks, the same bits on each. `lossy`: it may travel in 16 bits, as `compression` says."""
        ...

    def alltoall(self, rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Sends the first counts[0] of the rows to rank 0, the next counts[1] to rank 1 and so on. Returns what came, that of
        rank 0 first, and how many rows came from each. Rows are of one shape and type on all ranks."""
        ...

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        """In place: what `root` holds."""
        ...

    def gather(self, value: Json) -> list[Json]:
        """The values of all ranks, by rank, on every rank."""
        ...

    def barrier(self) -> None: ...


class SingleProcess:
    """A world of size one: every collective is the identity."""

    backend = "single-process"
    lossy = False
    rank = 0
    size = 1
    local_rank = 0
    local_size = 1

    def allreduce_sum(self, tensor: Tensor, lossy: bool = False) -> None:
        return None

    def alltoall(self, rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        return rows, list(counts)

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        return None

    def gather(self, value: Json) -> list[Json]:
        return [json.loads(json.dumps(value))]

    def barrier(self) -> None:
        return None


def raise_if_any_failed(communicator: Communicator, fault: NightrankError | None) -> None:
    """Every rank says whether it is well; if one is not, its fault is raised on all, naming the rank (lowest first)."""
    told = communicator.gather(None if fault is None else fault.to_json())
    for rank, body in enumerate(told):
        if body is not None:
            where = f"rank {rank} of {communicator.size}: " if communicator.size > 1 else ""
            raise fault_from_json({**body, "message": where + body["message"]})


def run_on_all_ranks(communicator: Communicator, work: Callable[[], Value]) -> Value:
    """This rank's `work()`, once all ranks have done theirs; a NightrankError of one is raised on all.

    `work` must hold no collective. Any other exception ends this process, which the others notice through their sockets.
    """
    fault: NightrankError | None = None
    try:
        value = work()
    except NightrankError as error:
        fault = error
    raise_if_any_failed(communicator, fault)
    return value


def broadcast_object(communicator: Communicator, work: Callable[[], Json]) -> Json:
    """Rank 0 decides, the others receive it: the JSON value of `work()` on rank 0, or its fault, on every rank."""
    value = run_on_all_ranks(communicator, lambda: work() if communicator.rank == 0 else None)
    return communicator.gather(value)[0]
