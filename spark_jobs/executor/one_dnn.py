"""Linear layers multiplied by oneDNN in fp32.

torch gives fp32 products on x86 to MKL, which uses half the width of an AMD core's registers: 100 GFLOP/s, where oneDNN, in the
same wheel, reaches 225 (EPYC of family 26, one thread, 1,024 x 384 x 1,536). torch gives bf16 products to oneDNN by itself.
"""

import torch
from torch import nn


class OneDnnLinear(nn.Module):  # type: ignore[misc]
    """x W^T + b, [..., in] -> [..., out], equal to nn.Linear's up to the order of the sums. Inference only: no gradient."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product


def multiply_with_one_dnn(model: nn.Module) -> nn.Module:
    """`model`, its linear layers replaced in place; as it was where this torch has no oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return model
    for name, child in model.named_children():
        if type(child) is nn.Linear:
            setattr(model, name, OneDnnLinear(child))
        else:
            multiply_with_one_dnn(child)
    return model
