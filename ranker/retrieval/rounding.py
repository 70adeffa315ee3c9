"""How far a fast product can be from the score (`exact.py`).

Shapes: B users, T items of a block, D width.

Let u' and i' be what user u and item i are in the product's type. By Cauchy and Schwarz
|u.i - u'.i'| <= |u - u'| |i| + |u'| |i - i'|, with the differences as they are and not as the type's precision allows: about
half of that for random numbers. To this comes the product's own rounding, in whatever order it adds in fp32: at most
(D + 2) 2^-23 |u'| |i'|.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

LARGEST_ERROR: Final = 2.0**96
"""Beyond it a product may overflow in fp32: nothing is said of it."""
ROOM: Final = 1 + 2.0**-10
"""For the rounding of the bounds themselves."""
INPUTS: Final = {"highest": 0.0, "high": 2.0**-9, "medium": 2.0**-6}
"""What torch.set_float32_matmul_precision lets an fp32 product lose on its inputs."""


@dataclass(frozen=True)
class Bounds:
    """Product and score of user b and item i differ by at most by_norm[b] |i| + by_residual[b] |i - i'| + constant[b]."""

    by_norm_B: Tensor
    by_residual_B: Tensor
    constant_B: Tensor

    def at(self, norm: Tensor, residual: Tensor) -> Tensor:
        """[B]: for items no longer than `norm`, no farther than `residual` from their rounded ones. NaN or more than
        LARGEST_ERROR where it cannot be said."""
        return self.by_norm_B * norm + self.by_residual_B * residual + self.constant_B


def bounds_of(users_BD: Tensor, kind: torch.dtype) -> Bounds:
    """fp32, for a product of `kind` with fp32 sums."""
    width = users_BD.shape[1]
    rounded = users_BD.to(kind).float()
    norm, rounded_norm, residual = (_norms(part) for part in (users_BD, rounded, users_BD - rounded))
    own = (width + 2) * 2.0**-23
    if kind == torch.float32:
        own += INPUTS[torch.get_float32_matmul_precision()]
    # 2^-22 |u|: scores that differ by less are equal in fp32. Below 2^-120 numbers may be taken for zero: those of a user
    # weigh less than the 2^-50 in `_norms`.
    by_norm = residual + own * rounded_norm + 2.0**-22 * norm
    by_residual = rounded_norm if kind != torch.float32 else torch.zeros_like(norm)
    constant = width * 2.0**-120 * (1 + norm)
    return Bounds(*(ROOM * part for part in (by_norm, by_residual, constant)))


def lengths_of(items_TD: Tensor, rounded_TD: Tensor) -> tuple[Tensor, Tensor]:
    """(the largest |i|, the largest |i - i'|) of fp32 items, or a little more."""
    norm, residual = (_norms(part).max() for part in (items_TD, items_TD - rounded_TD.float()))
    return norm, residual


def _norms(values_TD: Tensor) -> Tensor:
    """[T], or a little more: the sum may be rounded down, and squares below 2^-126 are lost."""
    norms: Tensor = values_TD.norm(dim=1)
    return norms * (ROOM + values_TD.shape[1] * 2.0**-23) + 2.0**-50
