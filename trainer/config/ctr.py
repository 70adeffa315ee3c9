"""How a click ranker is trained. `model` travels with the weights; the rest only decides how they come about."""

from pathlib import Path
from typing import Final

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig, merged, validate
from nightrank.ranker.ctr.config import CtrConfig, DnnConfig
from nightrank.trainer.config.optimizer import OptimizerConfig

SECTION: Final = "ctr"
"""Of a run's configuration."""


class PlateauConfig(FrozenConfig):
    factor: float = Field(0.1, gt=0, lt=1)
    """The learning rate is multiplied by this after a validation that is no better than the best so far."""
    patience: int = Field(2, ge=1)
    """Training ends after this many such validations in a row."""
    least_gain: float = Field(1e-6, ge=0)
    """A larger gain than this counts as better."""


class CtrOptimizerConfig(OptimizerConfig):
    """Adam without decoupled decay; the clip only stops exploding gradients."""

    beta2: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    clip_norm: float = Field(10.0, gt=0)


class CtrTrainerConfig(FrozenConfig):
    model: CtrConfig = DnnConfig()
    epochs: int = Field(100, ge=1)
    """The most epochs; a plateau ends training earlier."""
    batch_rows: int = Field(4096, ge=1)
    """Rows of a step over all ranks, at most."""
    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate before the first plateau."""
    plateau: PlateauConfig = PlateauConfig()
    table_l2: float = Field(0.0, ge=0)
    """L2 penalty on embedding tables: table_l2 / 2 times their squared norm is added to the mean loss."""
    smoothing: float = Field(0.0, ge=0, lt=1)
    """Label smoothing: labels move by this share towards 1/2."""
    optimizer: CtrOptimizerConfig = CtrOptimizerConfig()
    validation_rows: int | None = Field(200_000, ge=1)
    """Validate on this many rows at most, the same each time; null: on all. Their scores are kept in memory."""


def load_ctr_config(files: list[Path], overrides: list[str]) -> CtrTrainerConfig:
    """The section `ctr` of configuration files, with overrides of its own keys such as `model.width=20`."""
    return validate(CtrTrainerConfig, merged(files, [f"{SECTION}.{text}" for text in overrides]).get(SECTION, {}))
