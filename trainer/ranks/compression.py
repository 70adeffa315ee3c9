"""Sums of gradients in 16 bits: what travels instead of fp32, and how it comes back."""

from collections.abc import Callable

import torch
from torch import Tensor

from nightrank.trainer.ranks.half import half_scale


def sum_in_16_bits(
    tensor: Tensor, compression: str, ranks: int, add: Callable[[Tensor], None], largest: Callable[[Tensor], float]
) -> None:
    """In place: the sum over all ranks of `tensor`, rounded to `compression` before it travels.

    `add` sums a tensor over all ranks in place. `largest` is the largest magnitude on any rank. fp16 has the finer digits, and
    is scaled by a power of two so that no sum of finite values overflows; bf16 has the range of fp32 and needs no scale.
    """
    if compression == "bf16":
        small = tensor.to(torch.bfloat16)
        add(small)
        tensor.copy_(small)
        return
    scale = half_scale(largest(tensor), ranks)
    small = tensor.mul_(scale).half()
    add(small)
    tensor.copy_(small).div_(scale)
