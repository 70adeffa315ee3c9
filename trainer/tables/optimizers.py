"""How the held rows of a table move. Moments are named and shaped by row, so they are sharded and grow as the rows do.

Shapes: L rows held, H rows touched, d width.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from nightrank.ranker.private_torch import AdamWStep, AdamWTensors, adamw_
from nightrank.ranker.tables.row_table import RowTable
from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.tables.exchange import RowGradient


class RowOptimizer(ABC):
    """Moves the rows of a table by a gradient and keeps what it remembers of each."""

    def __init__(self, table: RowTable, config: OptimizerConfig, rate: float = 1.0) -> None:
        self.table, self._config, self.rate = table, config, rate
        weight = table.weight
        self.moments = {key: weight.new_zeros(shape) for key, shape in self.shapes(*weight.shape).items()}

    @staticmethod
    @abstractmethod
    def shapes(rows: int, width: int) -> dict[str, tuple[int, ...]]:
        """Of the moments of that many rows; one without dimensions belongs to the whole table."""

    @abstractmethod
    def step(self, gradient: RowGradient, rate: float, divisor: float) -> None:
        """Moves rows by their gradient / divisor."""

    def load(self, moments: Mapping[str, Tensor]) -> None:
        """Takes the values of held rows; what is not there starts afresh."""
        for key, mine in self.moments.items():
            mine.copy_(moments[key]) if key in moments and moments[key].shape == mine.shape else mine.zero_()

    def _numbers(self, rate: float, divisor: float) -> AdamWStep:
        config = self._config
        return AdamWStep(rate, config.beta1, config.beta2, config.table_decay, config.epsilon, divisor)


class EveryRow(RowOptimizer):
    """AdamW as on a dense gradient: a row that was not touched moves by its moments too."""

    @staticmethod
    def shapes(rows: int, width: int) -> dict[str, tuple[int, ...]]:
        return {"exp_avg": (rows, width), "exp_avg_sq": (rows, width), "step": ()}

    def step(self, gradient: RowGradient, rate: float, divisor: float) -> None:
        weight = self.table.weight.detach()
        dense = gradient.values_Hd
        if len(gradient.places_H) < len(weight):
            dense = torch.zeros_like(weight).index_copy_(0, gradient.places_H, dense)
        self.moments["step"] += 1
        state = ([self.moments[key]] for key in ("exp_avg", "exp_avg_sq", "step"))
        adamw_(AdamWTensors([weight], [dense], *state), self._numbers(rate, divisor))


class SparseAdam(EveryRow):
    """Adam on the touched rows alone (as torch.optim.SparseAdam): other rows and their moments stay as they are. The count of
    steps is the table's. Where every row is touched in every step it is AdamW."""

    def step(self, gradient: RowGradient, rate: float, divisor: float) -> None:
        self.moments["step"] += 1
        if len(gradient.places_H) == 0:
            return
        weight, places = self.table.weight.detach(), gradient.places_H
        held = [weight, self.moments["exp_avg"], self.moments["exp_avg_sq"]]
        touched = [tensor.index_select(0, places) for tensor in held]
        tensors = AdamWTensors([touched[0]], [gradient.values_Hd], [touched[1]], [touched[2]], [self.moments["step"]])
        adamw_(tensors, self._numbers(rate * self.rate, divisor))
        for tensor, rows in zip(held, touched, strict=True):
            tensor.index_copy_(0, places, rows)


class RowwiseAdagrad(RowOptimizer):
    """Adagrad with one number a row (Duchi et al. 2011; by row as in Mudigere et al. 2022): G_r += mean_j g_rj^2, w_r -=
    rate g_r / (sqrt(G_r) + epsilon), on the touched rows alone."""

    @staticmethod
    def shapes(rows: int, width: int) -> dict[str, tuple[int, ...]]:
        return {"sum": (rows,)}

    def step(self, gradient: RowGradient, rate: float, divisor: float) -> None:
        if len(gradient.places_H) == 0:
            return
        numbers = self._numbers(rate * self.rate, divisor)
        weight, places = self.table.weight.detach(), gradient.places_H
        values_Hd = gradient.values_Hd.div_(divisor)
        sums_H = self.moments["sum"].index_add_(0, places, values_Hd.square().mean(1)).index_select(0, places)
        moved_Hd = weight.index_select(0, places).mul_(1 - numbers.rate * numbers.decay)
        root_H1 = sums_H.sqrt().add_(numbers.epsilon).unsqueeze(1)
        weight.index_copy_(0, places, moved_Hd.addcdiv_(values_Hd, root_H1, value=-numbers.rate))
