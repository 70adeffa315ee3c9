"""The optimizer that a configuration names, with what it asks of the model."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nightrank.ranker.private_torch import AdamWStep
from nightrank.trainer.config.optimizer import RankerOptimizerConfig
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.distx.anyprecision import Half, anyprecision_adamw_
from nightrank.trainer.distx.slowmo import SlowMo
from nightrank.trainer.loop.optim import AdamW, trainable
from nightrank.trainer.ranks.communicator import Communicator


class AnyPrecisionAdamW(AdamW):
    """AdamW over bf16 weights, see `distx.anyprecision`. What rounding kept from each weight is part of the state."""

    def __init__(self, model: nn.Module, config: RankerOptimizerConfig) -> None:
        self.per_weight = ("exp_avg", "exp_avg_sq", *(("residue",) if config.kahan else ()))
        super().__init__(model, config)

    def _move(self, names: list[str], step: AdamWStep) -> None:
        for name in names:
            mean, square, *residue = [self._moments[f"{name}/{key}"] for key in self.per_weight]
            half = Half(self._parameters[name], self._gradient(name), mean, square, residue[0] if residue else None)
            anyprecision_adamw_(half, step, int(self._moments[f"{name}/step"]))


class LocalAdamW(AdamW):
    """AdamW by each rank's own gradient; now and then ranks average weights and moments, and SlowMo moves the weights on."""

    local = True

    def __init__(self, model: nn.Module, config: TrainerConfig) -> None:
        assert config.slowmo is not None
        self._slow: SlowMo | None = None
        super().__init__(model, config.optimizer)
        self._slow = SlowMo(trainable(model), config.slowmo.every, config.slowmo.momentum, config.slowmo.lr)

    @property
    def apart(self) -> bool:  # type: ignore[override]
        return self._slow is not None and self._slow.steps > 0

    def end_step(self, communicator: Communicator, rate: float, last: bool = False) -> None:
        """Ranks meet if it is time, or if it is the epoch's `last` step: they hold the same weights and moments then."""
        assert self._slow is not None
        self._slow.stepped()
        if not (self._slow.due or last):
            return

        def average(tensor: Tensor) -> None:
            communicator.allreduce_sum(tensor)
            tensor.div_(communicator.size)

        self._slow.meet(average, rate)
        with torch.no_grad():
            for value in self._moments.values():
                average(value)

    def tensors(self) -> dict[str, Tensor]:
        assert self._slow is not None
        return {**super().tensors(), **self._slow.tensors()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        super().load(tensors)
        if self._slow is not None:
            self._slow.load(tensors)


def optimizer_of(model: nn.Module, config: TrainerConfig) -> AdamW:
    """A fresh optimizer over the model's weights, which are in the type that it wants afterwards."""
    if config.optimizer.name == "anyprecision_adamw":
        for parameter in trainable(model).values():
            parameter.data = parameter.data.bfloat16()
        return AnyPrecisionAdamW(model, config.optimizer)
    return AdamW(model, config.optimizer) if config.slowmo is None else LocalAdamW(model, config)
