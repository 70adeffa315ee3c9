"""A learning rate that falls where validation stands still, and says when training is over."""

from dataclasses import dataclass, replace

from nightrank.trainer.config.ctr import PlateauConfig


@dataclass(frozen=True)
class Plateau:
    """The progress of training. Plain numbers, so they are part of a checkpoint's state."""

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
