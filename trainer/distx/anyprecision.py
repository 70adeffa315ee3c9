"""AdamW whose parameters and moments are bf16, with Kahan summation of what rounding would lose.

After AnyPrecisionAdamW of torchdistx. AdamW: Loshchilov & Hutter 2019, Algorithm 2. Kahan summation of small updates to bf16
weights: Zamirai et al. 2020, "Revisiting BFloat16 Training", Algorithm 5.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from nightrank.ranker.private_torch import AdamWStep

PIECE: Final = 1 << 20
"""Values that are computed in fp32 at once: what a step needs beside the state."""


@dataclass(frozen=True)
class Half:
    """One parameter and its state, all bf16 and of one shape."""

    parameter: Tensor
    gradient: Tensor
    mean: Tensor
    square: Tensor
    residue: Tensor | None
    """What rounding has kept from the parameter so far: parameter + residue is the value that the optimizer means. None: it is
    lost, and so are updates smaller than half a digit."""


def anyprecision_adamw_(half: Half, step: AdamWStep, taken: int) -> None:
    """Moves the parameter in place by step number `taken` (1 is the first), and its moments and residue.

    With g the gradient, w the parameter, c the residue, in fp32; only what is stored is rounded to bf16:

        m = b1 m + (1 - b1) g              v = b2 v + (1 - b2) g^2
        u = -rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + e) - rate decay w
        w' = bf16(w + c + u)               c' = w + c + u - w'

    Without a residue c is 0. Decay is a part of the summed update: 1 - rate decay is 1 in bf16, so a factor of its own would be
    lost.
    """
    unbiased1, unbiased2 = (1 - beta**taken for beta in (step.beta1, step.beta2))
    with torch.no_grad():
        for w, g, m, v, *c in zip(*(_pieces(tensor) for tensor in _parts(half)), strict=True):
            gradient = g.float().div_(step.divisor)
            mean = m.float().lerp_(gradient, 1 - step.beta1)
            square = v.float().mul_(step.beta2).addcmul_(gradient, gradient, value=1 - step.beta2)
            m.copy_(mean)
            v.copy_(square)
            root = square.sqrt_().div_(math.sqrt(unbiased2)).add_(step.epsilon)
            weight = w.float()
            wanted = weight.mul_(1 - step.rate * step.decay).addcdiv_(mean, root, value=-step.rate / unbiased1)
            for residue in c:
                wanted.add_(residue)
            w.copy_(wanted)
            for residue in c:
                residue.copy_(wanted.sub_(w))


def _parts(half: Half) -> tuple[Tensor, ...]:
    residue = () if half.residue is None else (half.residue,)
    return (half.parameter, half.gradient, half.mean, half.square, *residue)


def _pieces(tensor: Tensor) -> tuple[Tensor, ...]:
    pieces: tuple[Tensor, ...] = tensor.detach().view(-1).split(PIECE)
    return pieces
