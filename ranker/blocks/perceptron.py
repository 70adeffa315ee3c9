"""A multilayer perceptron with GELU and dropout between its layers."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.blocks.dropout import Dropout


class Perceptron(nn.Module):
    """inputs -> hidden[0] -> ... -> outputs; nothing is applied after the last layer."""

    def __init__(self, inputs: int, hidden: Sequence[int], outputs: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([inputs, *hidden, outputs]))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.dropout(functional.gelu(layer(x)))
        result: Tensor = self.layers[-1](x)
        return result
