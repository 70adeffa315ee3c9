"""How ranks talk. One process is a world of size one, so nothing else asks whether training is distributed.

Small values travel as JSON, never as pickles. A fault of one rank is raised on all of them (`run_on_all_ranks`), so that
no rank is left waiting in a collective that will not come.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.trainer.ranks.faults import fault_from_json
from nightrank.trainer.ranks.half import half_scale
from nightrank.trainer.ranks.watchdog import Progress

Json = Any
Value = TypeVar("Value")


class Communicator(Protocol):
    """Collectives: every rank calls the same ones in the same order, with tensors of the same shape and type."""

    backend: str
    lossy: bool
    """Gradients travel as fp16: send what must be exact on its own."""

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
        """In place: the sum over all ranks, the same bits on each. `lossy`: it may travel as fp16, scaled so that no sum of
        finite values overflows."""
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

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        return None

    def gather(self, value: Json) -> list[Json]:
        return [json.loads(json.dumps(value))]

    def barrier(self) -> None:
        return None


class Horovod:
    """Horovod's torch backend over Gloo, or NCCL where it was built with it."""

    def __init__(self, progress: Progress, compression: str = "none") -> None:
        import horovod.torch as hvd

        self._hvd = hvd
        self._progress = progress
        self.lossy = compression == "fp16"
        with progress.waiting("init"):
            hvd.init()
        self.backend = "horovod-nccl" if hvd.nccl_built() and torch.cuda.is_available() else "horovod-gloo"

    @property
    def rank(self) -> int:
        return int(self._hvd.rank())

    @property
    def size(self) -> int:
        return int(self._hvd.size())

    @property
    def local_rank(self) -> int:
        return int(self._hvd.local_rank())

    @property
    def local_size(self) -> int:
        return int(self._hvd.local_size())

    def allreduce_sum(self, tensor: Tensor, lossy: bool = False) -> None:
        if lossy and self.lossy:
            scale = half_scale(self._largest(tensor), self.size)
            small = tensor.mul_(scale).half()
            self._sum(small)
            tensor.copy_(small).div_(scale)
        else:
            self._sum(tensor)

    def _sum(self, tensor: Tensor) -> None:
        with self._progress.waiting("allreduce"):
            self._hvd.allreduce_(tensor, op=self._hvd.Sum, name=f"sum.{tensor.numel()}.{tensor.dtype}")

    def _largest(self, tensor: Tensor) -> float:
        """The largest magnitude on any rank; NaN where any value is NaN."""
        mine = torch.linalg.vector_norm(tensor, ord=float("inf")).float().reshape(1)
        with self._progress.waiting("allreduce"):
            return float(self._hvd.allgather(mine, name="largest").max())

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        with self._progress.waiting("broadcast"):
            for position, tensor in enumerate(tensors):
                self._hvd.broadcast_(tensor, root_rank=root, name=f"broadcast.{position}")

    def gather(self, value: Json) -> list[Json]:
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([text.numel()])
        with self._progress.waiting("gather"):
            lengths = self._hvd.allgather(length, name="gather.length").tolist()
            whole = bytes(self._hvd.allgather(text, name="gather.text").numpy())
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        return [json.loads(whole[end - n : end]) for n, end in zip(lengths, ends, strict=True)]

    def barrier(self) -> None:
        self.gather(None)


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
