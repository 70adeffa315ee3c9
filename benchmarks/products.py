"""The matrix products of a piece of training alone: recorded while it runs, then timed bare.

What a step could not be faster than with the multiplication this machine has. Shapes, layouts and types are those of the
recorded run; the products inside attention count too.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nightrank.ranker.blocks.one_dnn import times_transposed

Operand = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
Product = tuple[str, tuple[Operand, ...]]
FACTORS: Final = {"mm": 2, "bmm": 2, "addmm": 3, "addmm_": 3, "baddbmm": 3, "_linear_pointwise": 2}
"""Operands of each product; `out` and scalars are left out of a repetition."""
AGAIN: Final[dict[str, Callable[..., Tensor]]] = {
    "mm": torch.mm,
    "bmm": torch.bmm,
    "addmm": torch.addmm,
    "addmm_": torch.addmm,
    "baddbmm": torch.baddbmm,
    "_linear_pointwise": times_transposed,
}


class RecordedProducts(TorchDispatchMode):
    """`with RecordedProducts() as products:` counts every product that runs inside, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.overloadpacket.__name__
        if name in FACTORS:
            operands = tuple((tuple(one.shape), one.stride(), one.dtype) for one in args[: FACTORS[name]])
            self.counts[name, operands] += 1
        return func(*args, **(kwargs or {}))

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return sum(count * _operations(product) for product, count in self.counts.items())

    def seconds(self) -> float:
        """All of them once more, each kind after an unmeasured first time, on prepared operands."""
        total = 0.0
        for (name, operands), count in self.counts.items():
            made = [_made(operand) for operand in operands]
            product = AGAIN[name]
            product(*made)
            started = time.perf_counter()
            for _ in range(count):
                product(*made)
            total += time.perf_counter() - started
        return total


def _operations(product: Product) -> int:
    (rows, inner), columns = product[1][-2][0][-2:], product[1][-1][0][-1 if product[0] != "_linear_pointwise" else -2]
    batch = product[1][-1][0][0] if product[0] in ("bmm", "baddbmm") else 1
    return 2 * batch * rows * inner * columns


def _made(operand: Operand) -> Tensor:
    shape, stride, kind = operand
    room = 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True) if size)
    return torch.randn(room).to(kind).as_strided(shape, stride)
