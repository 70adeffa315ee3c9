"""A learning rate that falls where validation stands still, and says when training is over."""

from dataclasses import dataclass, replace

from pydantic import Field

from feature_store.contracts.config import FrozenConfig


class PlateauConfig(FrozenConfig):
    factor: float = Field(0.1, gt=0, lt=1)
    """The rate is multiplied by this at a validation that is no better than the best before it."""
    patience: int = Field(2, ge=1)
    """So many such validations in a row end the training."""
    least_gain: float = Field(1e-6, ge=0)
    """What counts as better."""


@dataclass(frozen=True)
class Plateau:
    """Where training stands. Plain numbers, so a resumed run takes it up from its state."""

    config: PlateauConfig
    rate: float
    best: float = float("-inf")
    stalls: int = 0

    def after(self, value: float) -> "Plateau":
        """The state after a validation of `value`, where more is better."""
        if value > self.best + self.config.least_gain:
            return replace(self, best=value, stalls=0)
        return replace(self, rate=self.rate * self.config.factor, stalls=self.stalls + 1)

    @property
    def over(self) -> bool:
        return self.stalls >= self.config.patience
