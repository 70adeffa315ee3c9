"""Deferred initialisation: a module is built without memory, and gets it later, where and as far as it is wanted.

What torchdistx called deferred_init and materialize_module, on torch's own fake tensors.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from nightrank.trainer.distx.fake import fake_tensors

Built = TypeVar("Built", bound=nn.Module)


def deferred_init(build: Callable[[], Built]) -> Built:
    """What `build` makes, with fake parameters and buffers: they have shapes, types and names, and no memory."""
    with fake_tensors():
        return build()


def materialize(module: Built, device: torch.device | str, fill: Callable[[Built], None]) -> Built:
    """The same module with memory on `device` for all its parameters and buffers, and what `fill` puts into them.

    A parameter that two submodules share is one afterwards too.
    """
    made: dict[int, torch.Tensor] = {}

    def real(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            empty = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
            is_parameter = isinstance(tensor, nn.Parameter)
            made[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
        return made[id(tensor)]

    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            setattr(part, name, real(parameter))
        for name, buffer in part.named_buffers(recurse=False, remove_duplicate=False):
            setattr(part, name, real(buffer))
    with torch.no_grad():
        fill(module)
    return module
