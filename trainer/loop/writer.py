"""Checkpoints are written beside the training: the tensors are copied, and a thread writes the copies while steps go on."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

import torch
from torch import Tensor

from nightrank.feature_store.contracts.files import Moved

LOOK_SECONDS: Final = 0.2


class Writer:
    """Of one process. One write at a time: the next one waits for the one before."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: Future[None] | None = None
        self._copies: dict[str, Tensor] = {}
        self._blocks = 0

    def moved(self) -> None:
        """Called by a write between its blocks."""
        self._blocks += 1

    def copied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same values in memory of the host that the next write uses again. No write is under way."""
        assert self._under_way is None
        for name, value in tensors.items():
            mine = self._copies.get(name)
            if mine is None or mine.shape != value.shape or mine.dtype != value.dtype:
                mine = self._copies[name] = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
            mine.copy_(value.detach())
        return {name: self._copies[name] for name in tensors}

    def start(self, write: Callable[[], None]) -> None:
        """`write` runs beside the training from now on; what it raises is raised by the next `check` or `finish`."""
        assert self._under_way is None
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._under_way = self._thread.submit(write)

    def check(self) -> None:
        """Raises what a write that has ended raised."""
        if self._under_way is not None and self._under_way.done():
            ended, self._under_way = self._under_way, None
            ended.result()

    def finish(self, moved: Moved) -> None:
        """No write is under way afterwards, and its fault is raised. `moved` is called as long as it goes on."""
        while self._under_way is not None:
            seen = self._blocks
            wait([self._under_way], timeout=LOOK_SECONDS)
            if self._blocks != seen:
                moved()
            self.check()
