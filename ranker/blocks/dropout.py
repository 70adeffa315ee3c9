"""Dropout whose mask costs less than the layer it follows.

torch draws a CPU mask one element after the other by a Mersenne twister: about a third of a training step on two cores. Here
a mask is made of raw 64-bit words of a small generator, seeded from torch's, by integer arithmetic on whole vectors.
"""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

_WORDS: Final[dict[torch.dtype, Any]] = {torch.bfloat16: np.int16, torch.float32: np.int32}
"""An integer as wide as a value: each takes its random bits from the same place of the stream."""


class Dropout(nn.Module):
    """x with each element zero with probability `share`, the rest divided by 1 - share (Srivastava et al. 2014), in training.

    A function of the state of torch's default generator, like torch's own; of other values than torch's on the CPU.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return x
        if x.device.type != "cpu" or x.dtype not in _WORDS:
            dropped: Tensor = functional.dropout(x, self.share, True)
            return dropped
        result: Tensor = _Multiply.apply(x, mask_like(x, self.share))  # type: ignore[no-untyped-call]
        return result


class _Multiply(torch.autograd.Function):
    """x * mask, with a gradient for x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return grad * mask, None


def mask_like(x: Tensor, share: float) -> Tensor:
    """0 with probability `share` (to 1 in 32,768 or better), else 1 / (1 - share), in the shape and type of x on the CPU."""
    kind = _WORDS[x.dtype]
    bits = 8 * np.dtype(kind).itemsize
    seed = int(torch.randint(2**62, (1,)))
    count = x.numel()
    words = np.random.SFC64(seed).random_raw(-(-count * bits // 64)).view(kind)[:count]
    kept = torch.tensor(1 / (1 - share), dtype=x.dtype).view(torch.int16 if bits == 16 else torch.int32)
    # Without its sign bit a word is uniform on [0, 2^(bits-1)); threshold - 1 - word is negative for the share that is kept,
    # and a shift by all other bits makes that the mask of the bits of 1 / (1 - share).
    words &= kind(2 ** (bits - 1) - 1)
    np.subtract(kind(round(share * 2 ** (bits - 1)) - 1), words, out=words)
    words >>= kind(bits - 1)
    words &= kind(int(kept))
    return torch.from_numpy(words).view(x.dtype).view(x.shape)
