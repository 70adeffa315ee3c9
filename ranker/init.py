"""Every weight of a ranker from one generator, in the fixed order of its parameters."""

import math

import torch
from torch import Tensor, nn

from nightrank.ranker.blocks.side_inputs import SideInputs

STD = 0.02
Scheme = str


def init_weights(model: nn.Module, generator: torch.Generator, scheme: Scheme) -> None:
    """Norms 1 and 0, biases and side inputs 0; recurrent cells U(-1/sqrt(h), 1/sqrt(h)) as they are published; all else
    N(0, 0.02), or, with `xavier`, matrices and tables N(0, 2 / (rows + columns))."""
    norms = {id(module.weight) for module in model.modules() if isinstance(module, nn.LayerNorm)}
    cells = {
        id(parameter): module.hidden_size
        for module in model.modules()
        if isinstance(module, nn.RNNBase)
        for parameter in module.parameters()
    }
    side = {id(weight) for module in model.modules() if isinstance(module, SideInputs) for weight in module.parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if id(parameter) in side:
                parameter.zero_()
            elif id(parameter) in norms:
                parameter.fill_(1.0)
            elif name.endswith("bias"):
                parameter.zero_()
            elif id(parameter) in cells:
                reach = 1 / math.sqrt(cells[id(parameter)])
                parameter.copy_(torch.empty(parameter.shape).uniform_(-reach, reach, generator=generator))
            else:
                parameter.copy_(torch.empty(parameter.shape).normal_(0.0, _std(parameter, scheme), generator=generator))


def _std(parameter: Tensor, scheme: Scheme) -> float:
    if scheme == "normal" or parameter.ndim < 2:
        return STD
    return math.sqrt(2 / (parameter.shape[0] + parameter.shape[1]))
