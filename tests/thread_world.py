"""A world of N ranks in the threads of one process: a real Communicator for tests that need no Horovod."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


class Meeting:
    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=30)
        self.table: list[Any] = [None] * size

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.table[rank] = value
        self.barrier.wait()
        result = list(self.table)
        self.barrier.wait()
        return result


class ThreadRank:
    backend = "threads"
    lossy = False

    def __init__(self, meeting: Meeting, rank: int) -> None:
        self._meeting = meeting
        self.rank = self.local_rank = rank
        self.size = self.local_size = meeting.size

    def allreduce_sum(self, tensor: Tensor, lossy: bool = False) -> None:
        parts = self._meeting.exchange(self.rank, tensor.clone())
        tensor.copy_(sum(parts[1:], parts[0]))

    def alltoall(self, rows: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        sent = self._meeting.exchange(self.rank, rows.clone().split(list(counts)))
        came = [parts[self.rank] for parts in sent]
        return torch.cat(came), [len(part) for part in came]

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        for mine, theirs in zip(tensors, self._meeting.exchange(self.rank, [t.clone() for t in tensors])[root], strict=True):
            mine.data.copy_(theirs)

    def gather(self, value: Any) -> list[Any]:
        return [json.loads(text) for text in self._meeting.exchange(self.rank, json.dumps(value))]

    def barrier(self) -> None:
        self._meeting.exchange(self.rank, None)


def on_ranks(size: int, work: Callable[[ThreadRank], Value]) -> list[Value | Exception]:
    """`work` on every rank at once; what each returned, or the exception it raised."""
    meeting = Meeting(size)

    def guarded(rank: int) -> Value | Exception:
        try:
            return work(ThreadRank(meeting, rank))
        except Exception as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(guarded, range(size)))
