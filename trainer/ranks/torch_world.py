"""A world of ranks over torch.distributed: Gloo for tensors in memory, NCCL for those on GPUs."""

import atexit
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor

from nightrank.feature_store.contracts.process import this_machine
from nightrank.trainer.ranks.communicator import Json, PeerLost
from nightrank.trainer.ranks.compression import CompressedSums
from nightrank.trainer.ranks.watchdog import Progress

NEVER: Final = timedelta(days=30)
"""Of a collective: a rank may wait long for rank 0, which writes or measures. Only the watchdog knows who hangs."""


class TorchDistributed(CompressedSums):
    """The default process group. torchrun describes it: MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE; LOCAL_RANK in `environ`."""

    def __init__(self, progress: Progress, environ: Mapping[str, str], compression: str = "none") -> None:
        super().__init__(compression)
        self._progress = progress
        nccl = torch.cuda.is_available() and dist.is_nccl_available()
        with self._collective("init"):
            dist.init_process_group("cpu:gloo,cuda:nccl" if nccl else "gloo", timeout=NEVER)
        atexit.register(_leave)  # Gloo's threads abort a process that ends while they run
        self.backend = "torch-nccl" if nccl else "torch-gloo"
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()
        self.local_rank = int(environ.get("LOCAL_RANK", "0"))
        self.local_size = self.gather(this_machine()).count(this_machine())

    def _sum(self, tensor: Tensor) -> None:
        with self._collective("allreduce"):
            dist.all_reduce(tensor)

    def _largest(self, tensor: Tensor) -> float:
        """The largest magnitude on any rank; NaN where any value is NaN, which a maximum by Gloo would hide."""
        mine = torch.linalg.vector_norm(tensor, ord=float("inf")).float().reshape(1)
        with self._collective("allreduce"):
            return float(torch.cat(_gathered(mine, self.size)).max())

    def alltoall(self, rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        sent = torch.tensor(counts, device=rows.device)
        coming = torch.empty_like(sent)
        with self._collective("alltoall"):
            dist.all_to_all_single(coming, sent)
            received = [int(n) for n in coming]
            came = rows.new_empty(sum(received), *rows.shape[1:])
            dist.all_to_all_single(came, rows.contiguous(), received, list(counts))
        return came, received

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        with self._collective("broadcast"):
            for tensor in tensors:
                _broadcast(tensor, root)

    def gather(self, value: Json) -> list[Json]:
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([text.numel()])
        with self._collective("gather"):
            lengths = [int(n) for n in _gathered(length, self.size)]
            padded = torch.zeros(max(lengths), dtype=torch.uint8)
            padded[: text.numel()] = text
            texts = _gathered(padded, self.size)
        return [json.loads(bytes(whole[:n].numpy())) for whole, n in zip(texts, lengths, strict=True)]

    def barrier(self) -> None:
        self.gather(None)

    @contextmanager
    def _collective(self, name: str) -> Iterator[None]:
        """Inside, this rank waits for the others. PeerLost where one of them is gone.

        Gloo says so by a RuntimeError of no kind of its own, and so does a call whose tensors differ between ranks.
        """
        with self._progress.waiting(name):
            try:
                yield
            except RuntimeError as error:
                raise PeerLost(str(error)) from error


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def _broadcast(tensor: Tensor, root: int) -> None:
    """In place, also where the tensor is a view with gaps."""
    whole = tensor.detach().contiguous()
    dist.broadcast(whole, src=root)
    if whole.data_ptr() != tensor.data_ptr():
        tensor.detach().copy_(whole)


def _gathered(tensor: Tensor, size: int) -> list[Tensor]:
    parts = [torch.empty_like(tensor) for _ in range(size)]
    dist.all_gather(parts, tensor)
    return parts
