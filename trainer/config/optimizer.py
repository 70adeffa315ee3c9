"""How weights move: the optimizer of a phase, and SlowMo between ranks. Imports no engine."""

from typing import Literal

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig


class OptimizerConfig(FrozenConfig):
    """AdamW (Loshchilov & Hutter 2019) on the summed gradient divided by the summed weight."""

    beta1: float = Field(0.9, ge=0, lt=1)
    """Adam's decay of the mean of gradients."""
    beta2: float = Field(0.98, ge=0, lt=1)
    """Adam's decay of the mean of squared gradients."""
    epsilon: float = Field(1e-8, gt=0)
    """Adam's epsilon in the denominator."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of matrices. Biases and norms have none; lookup tables have `table_decay`."""
    table_decay: float = Field(0.0, ge=0)
    """Weight decay of lookup tables. Adam moves a row by about the learning rate however rare it is, so the id of a rare item
    becomes noise. Decay pulls it back, so that the item's text counts more."""
    text_rate: float = Field(0.1, gt=0)
    """Learning rate of parts that come from a pre-trained model, as a share of the phase's."""
    clip_norm: float = Field(1.0, gt=0)
    """Largest global L2 norm of a step's gradient."""


class RankerOptimizerConfig(OptimizerConfig):
    name: Literal["adamw", "anyprecision_adamw"] = "adamw"
    """`adamw` keeps weights, gradient and moments in fp32: 16 bytes a weight. `anyprecision_adamw` keeps them in bf16: 10
    bytes, or 8 without `kahan`. It computes in bf16 too, on any hardware."""
    kahan: bool = True
    """`anyprecision_adamw` adds small updates up by Kahan summation. Without it an update below a 512th of its weight is
    lost."""


class SlowMoConfig(FrozenConfig):
    """Ranks step by themselves and meet now and then (SlowMo, Wang et al. 2020). For networks slower than the ranks."""

    every: int = Field(ge=1)
    """Steps between two meetings, at which ranks average weights and moments. Every epoch ends with one."""
    momentum: float = Field(0.5, ge=0, lt=1)
    """Momentum of the moves between meetings; 0: plain averaging."""
    lr: float = Field(1.0, gt=0)
    """Share of a move that is taken."""
