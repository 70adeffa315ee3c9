"""A world of ranks over Horovod: the default backend."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from nightrank.trainer.ranks.communicator import Json, PeerLost
from nightrank.trainer.ranks.compression import CompressedSums
from nightrank.trainer.ranks.watchdog import Progress

PIECE: Final = 1 << 22
"""bf16 values that travel at once."""
CYCLE_MS: Final = "3"
"""On a CPU: how often Horovod's thread looks for collectives. Each look takes some 65 us of a core that computes, by its own
default of 1 ms 6 %; a collective waits up to so long for it."""
PAUSES: Final = (5e-5, 1e-3)
"""Seconds between two looks at a collective under way: the first, and the longest."""


class Horovod(CompressedSums):
    """Horovod's torch backend over Gloo, or NCCL where it was built with it."""

    def __init__(self, progress: Progress, compression: str = "none") -> None:
        import horovod.torch as hvd
        from horovod.common.exceptions import HorovodInternalError

        self._hvd = hvd
        self._lost = HorovodInternalError
        super().__init__(compression)
        self._progress = progress
        if not torch.cuda.is_available():
            os.environ.setdefault("HOROVOD_CYCLE_TIME", CYCLE_MS)
        with self._collective("init"):
            hvd.init()
        self.backend = "horovod-nccl" if hvd.nccl_built() and torch.cuda.is_available() else "horovod-gloo"
        self.rank, self.size = int(hvd.rank()), int(hvd.size())
        self.local_rank, self.local_size = int(hvd.local_rank()), int(hvd.local_size())

    def _sum(self, tensor: Tensor) -> None:
        if tensor.dtype == torch.bfloat16:
            self._sum_in_pieces(tensor)
            return
        with self._collective("allreduce"):
            name = f"sum.{tensor.numel()}.{tensor.dtype}"
            self._result(self._hvd.allreduce_async_(tensor, op=self._hvd.Sum, name=name))

    def _sum_in_pieces(self, tensor: Tensor) -> None:
        """bf16 travels as fp32, which Horovod knows, a piece at a time: no second gradient is held."""
        for piece in tensor.view(-1).split(PIECE):
            wide = piece.float()
            self._sum(wide)
            piece.copy_(wide)

    def _largest(self, tensor: Tensor) -> float:
        """The largest magnitude on any rank; NaN where any value is NaN."""
        mine = torch.linalg.vector_norm(tensor, ord=float("inf")).float().reshape(1)
        with self._collective("allreduce"):
            return float(self._gathered(mine, "largest").max())

    def alltoall(self, rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        splits = torch.tensor(counts, dtype=torch.int32)
        with self._collective("alltoall"):
            sent = self._hvd.alltoall_async(rows.contiguous(), splits=splits, name=f"alltoall.{rows.dtype}")
            came, received = self._result(sent)
        return came, [int(n) for n in received]

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        with self._collective("broadcast"):
            for position, tensor in enumerate(tensors):
                known = tensor.data.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
                self._result(self._hvd.broadcast_async_(known, root_rank=root, name=f"broadcast.{position}"))

    def gather(self, value: Json) -> list[Json]:
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([text.numel()])
        with self._collective("gather"):
            lengths = self._gathered(length, "gather.length").tolist()
            whole = bytes(self._gathered(text, "gather.text").numpy())
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        return [json.loads(whole[end - n : end]) for n, end in zip(lengths, ends, strict=True)]

    def barrier(self) -> None:
        self.gather(None)

    def _gathered(self, tensor: Tensor, name: str) -> Tensor:
        """The tensors of all ranks, one behind the other."""
        result: Tensor = self._result(self._hvd.allgather_async(tensor, name=name))
        return result

    def _result(self, handle: int) -> Any:
        """Of a collective, once it is done. Horovod's own wait goes round without a pause on this rank's core, which the thread
        that carries the collective needs."""
        pause, longest = PAUSES
        while not self._hvd.poll(handle):
            time.sleep(pause)
            pause = min(2 * pause, longest)
        return self._hvd.synchronize(handle)

    @contextmanager
    def _collective(self, name: str) -> Iterator[None]:
        """Inside, this rank waits for the others. PeerLost where one of them is gone."""
        with self._progress.waiting(name):
            try:
                yield
            except self._lost as error:
                raise PeerLost(str(error)) from error
