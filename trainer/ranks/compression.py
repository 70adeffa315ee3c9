"""Sums of gradients in 16 bits: what travels instead of fp32, and how it comes back."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from nightrank.trainer.ranks.half import half_scale


class CompressedSums(ABC):
    """The sums of a world of ranks, by `compression`: `none`, `fp16` or `bf16`."""

    size: int
    """Ranks of the world."""

    def __init__(self, compression: str) -> None:
        self._compression = compression
        self.lossy = compression != "none"

    @abstractmethod
    def _sum(self, tensor: Tensor) -> None:
        """In place: the sum over all ranks."""

    @abstractmethod
    def _largest(self, tensor: Tensor) -> float:
        """The largest magnitude on any rank; NaN where any value is NaN."""

    def allreduce_sum(self, tensor: Tensor, lossy: bool = False) -> None:
        if lossy and self.lossy:
            self._sum_in_16_bits(tensor)
        else:
            self._sum(tensor)

    def _sum_in_16_bits(self, tensor: Tensor) -> None:
        """In place: the sum over all ranks of `tensor`, rounded before it travels.

        fp16 has the finer digits, and is scaled by a power of two so that no sum of finite values overflows; bf16 has the range
        of fp32 and needs no scale.
        """
        if self._compression == "bf16":
            small = tensor.to(torch.bfloat16)
            self._sum(small)
            tensor.copy_(small)
            return
        scale = half_scale(self._largest(tensor), self.size)
        small = tensor.mul_(scale).half()
        self._sum(small)
        tensor.copy_(small).div_(scale)
