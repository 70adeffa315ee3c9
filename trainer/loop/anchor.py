"""The pull towards the weights that a phase began with."""

from torch import Tensor, nn

from nightrank.trainer.loop.optim import trainable


class Anchor:
    """L2 pull towards the weights at the start (L2-SP, Li et al. 2018): adds `strength * (w - w0)` to every gradient."""

    def __init__(self, model: nn.Module, start: dict[str, Tensor], strength: float) -> None:
        self._strength = strength
        self._pairs = [(parameter, start[name]) for name, parameter in trainable(model).items()]

    def penalty(self) -> None:
        for parameter, start in self._pairs:
            assert parameter.grad is not None
            parameter.grad.add_(parameter.detach() - start, alpha=self._strength)
