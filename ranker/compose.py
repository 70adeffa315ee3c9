"""RankerConfig -> Ranker. Encoders are registered by name; the rest follows from the configuration."""

from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from ranker.config import RankerConfig
from ranker.encoders.transformer import TransformerEncoder
from ranker.inputs import ItemInputs, ItemShapes
from ranker.model import Ranker

ENCODERS: Final[dict[str, Callable[[RankerConfig], nn.Module]]] = {"transformer": TransformerEncoder}
"""name -> constructor. An encoder maps (item vectors [T, d], Batch) to states [T, d]."""


def build_encoder(config: RankerConfig) -> nn.Module:
    return ENCODERS[config.encoder.name](config)


def compose_empty(config: RankerConfig, shapes: ItemShapes) -> Ranker:
    """A ranker on the meta device: shapes only, no memory. `materialise` or `to_empty` gives it storage."""
    with torch.device("meta"):
        return Ranker(config, shapes, build_encoder(config))


def materialise(ranker: Ranker, inputs: ItemInputs, device: torch.device | str = "cpu") -> Ranker:
    """Storage on `device` with the inputs filled in; the weights are whatever memory held until they are set."""
    ranker.to_empty(device=device)
    with torch.no_grad():
        ranker.items.fill(inputs)
    return ranker


def compose(config: RankerConfig, inputs: ItemInputs, seed: int = 0, device: torch.device | str = "cpu") -> Ranker:
    """A ranker with weights drawn from `seed`: the same on every rank and device. In training mode."""
    ranker = materialise(compose_empty(config, inputs.shapes), inputs, device)
    ranker.init_weights(torch.Generator().manual_seed(seed))
    return ranker
