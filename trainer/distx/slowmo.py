"""SlowMo: ranks step by themselves, and every few steps their average is moved by a slow momentum.

Wang, Tantia, Ballas & Rabbat 2020, "SlowMo: Improving Communication-Efficient Distributed SGD with Slow Momentum" (ICLR),
Algorithm 1, lines 6 to 8. With momentum 0 and lr 1 it is plain local steps with averaging.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

MOMENTUM: Final = "slow_momentum"


class SlowMo:
    """The outer loop over parameters that are the same on all ranks at its start: one momentum and one copy of each."""

    def __init__(self, parameters: Mapping[str, Tensor], every: int, momentum: float, lr: float) -> None:
        self.every = every
        self._parameters = dict(parameters)
        self._beta, self._alpha = momentum, lr
        self._momentum = {name: torch.zeros_like(p, requires_grad=False) for name, p in self._parameters.items()}
        self._start = {name: p.detach().clone() for name, p in self._parameters.items()}
        self.steps = 0
        """Steps since ranks were equal."""

    @property
    def due(self) -> bool:
        return self.steps >= self.every

    def stepped(self) -> None:
        """The inner optimizer has moved this rank's parameters once."""
        self.steps += 1

    def meet(self, average: Callable[[Tensor], None], rate: float) -> None:
        """All ranks hold the same parameters afterwards: with x0 those at the last meeting, x the average over ranks, g `rate`,

            u = b u + (x0 - x) / g         x0 = x0 - a g u

        `average` averages a tensor over all ranks in place. A rate of 0 moves nothing, and its u stays.
        """
        self.steps = 0
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                average(parameter)
                if rate > 0:
                    start, slow = self._start[name], self._momentum[name]
                    slow.mul_(self._beta).add_(start - parameter, alpha=1 / rate)
                    start.sub_(slow, alpha=self._alpha * rate)
                    parameter.copy_(start)
                else:
                    self._start[name].copy_(parameter)

    def tensors(self) -> dict[str, Tensor]:
        """The state as `<parameter>/slow_momentum`. The copies are the parameters themselves wherever ranks are equal."""
        return {f"{name}/{MOMENTUM}": value for name, value in self._momentum.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the values that `tensors` gave; a parameter without an entry starts afresh. Ranks are equal."""
        self.steps = 0
        for name, parameter in self._parameters.items():
            value = tensors.get(f"{name}/{MOMENTUM}")
            momentum = self._momentum[name]
            momentum.zero_() if value is None else momentum.copy_(value)
            self._start[name].copy_(parameter.detach())
