"""Linear layers of a foreign model, multiplied by oneDNN."""

import torch
from torch import nn

from nightrank.ranker.blocks.one_dnn import times_transposed


class OneDnnLinear(nn.Module):
    """What nn.Linear gives, up to the order of the sums. Inference only: no gradient."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return times_transposed(x, self.weight, self.bias)


def multiply_with_one_dnn(model: nn.Module) -> nn.Module:
    """`model`, its linear layers replaced in place."""
    for name, child in model.named_children():
        if type(child) is nn.Linear:
            setattr(model, name, OneDnnLinear(child))
        else:
            multiply_with_one_dnn(child)
    return model
