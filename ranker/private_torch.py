"""The one place that calls functions which torch does not promise to keep.

Each is tried once on a small problem. Where it is gone, or gives something else than public functions do, those take its place:
the same results within the order of sums, more slowly.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

TOLERANCE: Final = 1e-4
CPU_FLAGS: Final = Path("/proc/cpuinfo")
BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_tile"})
"""What Linux calls the two ways in which a CPU multiplies in bf16."""


@dataclass(frozen=True)
class AdamWStep:
    """The numbers of one AdamW step (Loshchilov & Hutter 2019)."""

    rate: float
    beta1: float
    beta2: float
    decay: float
    epsilon: float
    divisor: float = 1.0
    """What every gradient is divided by first; the quotient stays in it."""


@dataclass(frozen=True)
class AdamWTensors:
    """One list each, in the same order; `steps` count the step that is taken."""

    parameters: Sequence[Tensor]
    gradients: Sequence[Tensor]
    means: Sequence[Tensor]
    squares: Sequence[Tensor]
    steps: Sequence[Tensor]


def linear(x: Tensor, weight_oi: Tensor, bias_o: Tensor | None = None) -> Tensor:
    """x W^T + b in fp32 on the CPU by oneDNN, without a gradient."""
    return one_dnn_linear(x, weight_oi, bias_o) if has_one_dnn() else public_linear(x, weight_oi, bias_o)


def adamw_(tensors: AdamWTensors, step: AdamWStep) -> None:
    """Moves the parameters in place by one step, and their moments; no gradient is recorded."""
    take = fused_adamw_ if has_fused_adamw(tensors.steps[0].device.type) else public_adamw_
    with torch.no_grad():
        take(tensors, step)


@lru_cache(maxsize=1)
def cpu_multiplies_in_bf16() -> bool:
    """This CPU has AVX512_BF16 or AMX."""
    cpu: Any = torch.cpu
    try:
        return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
    except AttributeError:
        return flags_say_bf16()


def flags_say_bf16(path: Path = CPU_FLAGS) -> bool:
    """The same by what Linux says of the CPU; False where it says nothing."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return bool(BF16_FLAGS & set(flags))


def one_dnn_linear(x: Tensor, weight_oi: Tensor, bias_o: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight_oi, bias_o, "none", [], "")
    return product


def public_linear(x: Tensor, weight_oi: Tensor, bias_o: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(x, weight_oi, bias_o)


@lru_cache(maxsize=1)
def has_one_dnn() -> bool:
    x, weight, bias = _values(3, 5), _values(4, 5), _values(4)

    def same() -> bool:
        pairs = [(one_dnn_linear(x, weight, b), public_linear(x, weight, b)) for b in (None, bias)]
        return all(torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in pairs)

    return torch.backends.mkldnn.is_available() and holds(same)


def fused_adamw_(tensors: AdamWTensors, step: AdamWStep) -> None:
    scale = None if step.divisor == 1.0 else torch.tensor(step.divisor, device=tensors.steps[0].device)
    fused: Any = torch._fused_adamw_
    fused(
        list(tensors.parameters),
        list(tensors.gradients),
        list(tensors.means),
        list(tensors.squares),
        [],
        list(tensors.steps),
        lr=step.rate,
        beta1=step.beta1,
        beta2=step.beta2,
        weight_decay=step.decay,
        eps=step.epsilon,
        amsgrad=False,
        maximize=False,
        grad_scale=scale,
    )


def public_adamw_(tensors: AdamWTensors, step: AdamWStep) -> None:
    lists = (tensors.parameters, tensors.gradients, tensors.means, tensors.squares, tensors.steps)
    for parameter, gradient, mean, square, taken in zip(*lists, strict=True):
        if step.divisor != 1.0:
            gradient.div_(step.divisor)
        parameter.mul_(1 - step.rate * step.decay)
        mean.lerp_(gradient, 1 - step.beta1)
        square.mul_(step.beta2).addcmul_(gradient, gradient, value=1 - step.beta2)
        unbiased1, unbiased2 = (1 - beta ** float(taken) for beta in (step.beta1, step.beta2))
        root = (square.sqrt() / math.sqrt(unbiased2)).add_(step.epsilon)
        parameter.addcdiv_(mean, root, value=-step.rate / unbiased1)


@lru_cache(maxsize=4)
def has_fused_adamw(device: str) -> bool:
    step = AdamWStep(rate=0.1, beta1=0.9, beta2=0.98, decay=0.1, epsilon=1e-8, divisor=2.0)

    def made() -> AdamWTensors:
        parameters, gradients, means, squares = ([_values(3, 2).to(device)] for _ in range(4))
        return AdamWTensors(parameters, gradients, means, squares, [torch.tensor(2.0, device=device)])

    def same() -> bool:
        fused, public = made(), made()
        fused_adamw_(fused, step)
        public_adamw_(public, step)
        names = ("parameters", "gradients", "means", "squares", "steps")
        pairs = ((getattr(fused, name)[0], getattr(public, name)[0]) for name in names)
        return all(torch.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in pairs)

    with torch.no_grad():
        return holds(same)


def fake_types() -> tuple[Any, Any, Any]:
    """(FakeTensorMode, FakeTensor, TorchDispatchMode). Their import brings the compiler's parts in: for planning alone."""
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode

    return FakeTensorMode, FakeTensor, TorchDispatchMode


def see_each(kind: Any, see: Callable[[Any], None], values: Any) -> None:
    """Calls `see` with every value of that kind in nested tuples, lists and dictionaries."""
    from torch.utils import _pytree

    for value in _pytree.tree_leaves(values):
        if isinstance(value, kind):
            see(value)


def holds(same: Callable[[], bool]) -> bool:
    """False also where the function is gone or takes other arguments."""
    try:
        return same()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False


def _values(*shape: int) -> Tensor:
    """Small positive numbers that are not drawn, so that torch's generator keeps its state."""
    return torch.arange(1.0, 1 + math.prod(shape)).view(*shape) / 7
