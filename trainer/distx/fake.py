"""Fake tensors: shape, type and device, and no memory. What a computation would hold is counted without holding it.

A thin layer over torch's FakeTensorMode, which replaced the fake tensors of torchdistx.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nightrank.ranker.private_torch import fake_types, see_each


def fake_tensors() -> Any:
    """Within it every new tensor is fake. Afterwards an operation that a fake tensor takes part in gives a fake tensor, and one
    on real tensors alone is carried out: ids and offsets may be real, weights fake."""
    mode, _, _ = fake_types()
    return mode(allow_non_fake_inputs=True)


class LiveBytes:
    """Bytes of the fake tensors that live now, and the most that ever did."""

    def __init__(self) -> None:
        self.now = 0
        self.peak = 0
        self._known: dict[int, Any] = {}

    def see(self, tensor: Tensor) -> None:
        """Counts a tensor's storage once, until it is gone. Sparse tensors are counted as nothing: their rows are few."""
        if tensor.layout != torch.strided:
            return
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes()
        if key not in self._known:
            self._known[key] = weakref.finalize(storage, self._gone, key, size)
            self.now += size
            self.peak = max(self.peak, self.now)

    def restart(self) -> None:
        """The peak is counted from what lives now."""
        self.peak = self.now

    def _gone(self, key: int, size: int) -> None:
        del self._known[key]
        self.now -= size


@contextmanager
def counted() -> Iterator[LiveBytes]:
    """Within it the storages of fake tensors are counted, forward and backward."""
    _, fake, dispatch = fake_types()
    live = LiveBytes()

    class Counting(dispatch):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            see_each(fake, live.see, result)
            return result

    with Counting():
        yield live
