"""What a plan is asked for, as the command gives it to the process that counts. Imports no engine."""

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.trainer.config.training import TrainerConfig


class PlanRequest(FrozenConfig):
    trainer: TrainerConfig
    world_size: int = Field(ge=1)
    items: int = Field(ge=1)
    users: int = Field(0, ge=0)
    text_width: int = Field(0, ge=0)
    memory_bytes: int = Field(ge=1)
    """What one rank may take."""
