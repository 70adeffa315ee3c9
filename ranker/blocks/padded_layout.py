"""Flat tokens to a padded rectangle and back, for the blocks that need one. Both ways are exact copies, also in backward.

Shapes: T tokens, B rows, L longest row, P = B * L slots, D width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class PaddedLayout:
    """Where each token is in [B, L]: rows begin at slot 0 and are padded on the right."""

    rows: int
    longest: int
    slot_T: Tensor

    @classmethod
    def of(cls, offsets_B1: Tensor) -> "PaddedLayout":
        lengths_B = offsets_B1[1:] - offsets_B1[:-1]
        rows = len(lengths_B)
        longest = int(lengths_B.max()) if rows else 0
        shift_B = torch.arange(rows, device=offsets_B1.device) * longest - offsets_B1[:-1]
        tokens = int(offsets_B1[-1])
        slot_T = torch.arange(tokens, device=offsets_B1.device) + torch.repeat_interleave(shift_B, lengths_B)
        return cls(rows, longest, slot_T)

    def filled(self) -> Tensor:
        """[B, L] bool: where there is a token. A row without any counts as having one, so that attention stays finite."""
        slots = torch.zeros(self.rows * self.longest, dtype=torch.bool, device=self.slot_T.device)
        slots[self.slot_T] = True
        filled_BL = slots.view(self.rows, self.longest)
        filled_BL[:, 0] = True
        return filled_BL

    def pack(self, flat_TD: Tensor) -> Tensor:
        """[T, D] -> [B, L, D], zeros where there is no token."""
        packed: Tensor = _Pack.apply(flat_TD, self.slot_T, self.rows * self.longest)  # type: ignore[no-untyped-call]
        return packed.view(self.rows, self.longest, flat_TD.shape[1])

    def unpack(self, packed_BLD: Tensor) -> Tensor:
        """[B, L, D] -> [T, D], padding dropped."""
        flat: Tensor = _Unpack.apply(packed_BLD.reshape(self.rows * self.longest, packed_BLD.shape[2]), self.slot_T)  # type: ignore[no-untyped-call]
        return flat


class _Pack(torch.autograd.Function):
    """Slots are distinct, so the gradient is a gather: no atomic or sorted addition."""

    @staticmethod
    def forward(ctx: Any, flat_TD: Tensor, slot_T: Tensor, slots: int) -> Tensor:
        ctx.save_for_backward(slot_T)
        return flat_TD.new_zeros(slots, flat_TD.shape[1]).index_copy_(0, slot_T, flat_TD)

    @staticmethod
    def backward(ctx: Any, grad_PD: Tensor) -> tuple[Tensor, None, None]:
        (slot_T,) = ctx.saved_tensors
        return grad_PD.index_select(0, slot_T), None, None


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, packed_PD: Tensor, slot_T: Tensor) -> Tensor:
        ctx.save_for_backward(slot_T)
        ctx.slots = packed_PD.shape[0]
        return packed_PD.index_select(0, slot_T)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor, None]:
        (slot_T,) = ctx.saved_tensors
        return grad_TD.new_zeros(ctx.slots, grad_TD.shape[1]).index_copy_(0, slot_T, grad_TD), None
