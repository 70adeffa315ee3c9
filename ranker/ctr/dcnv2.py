"""Cross layers beside or under a perceptron (DCN-V2, Wang et al. 2021).

Shapes: B rows, X inputs, E experts, R rank, A actions.
"""

import torch
from torch import Tensor, nn

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, DcnV2Config
from nightrank.ranker.ctr.layers import Inputs, Mlp


class Cross(nn.Module):
    """x0 * (W x + b) + x (equation 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Linear(width, width)

    def forward(self, start_BX: Tensor, x_BX: Tensor) -> Tensor:
        result: Tensor = start_BX * self.weight(x_BX) + x_BX
        return result


class LowRankCross(nn.Module):
    """sum over experts of gate_e(x) * x0 * (U_e tanh(C_e tanh(V_e^T x)) + b), plus x (equations 3 and 4)."""

    def __init__(self, width: int, rank: int, experts: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(experts, width, rank))
        self.turn = nn.Parameter(torch.empty(experts, rank, rank))
        self.up = nn.Parameter(torch.empty(experts, rank, width))
        self.bias = nn.Parameter(torch.empty(width))
        self.gate = nn.Linear(width, experts) if experts > 1 else None

    def forward(self, start_BX: Tensor, x_BX: Tensor) -> Tensor:
        small_EBR = torch.tanh(torch.matmul(torch.tanh(torch.matmul(x_BX, self.down)), self.turn))
        seen_EBX = torch.matmul(small_EBR, self.up) + self.bias
        if self.gate is None:
            return start_BX * seen_EBX[0] + x_BX
        gate_BE = torch.softmax(self.gate(x_BX), dim=1)
        return start_BX * torch.einsum("be,ebx->bx", gate_BE, seen_EBX) + x_BX


class DcnV2(nn.Module):
    def __init__(self, config: DcnV2Config, shapes: CtrShapes) -> None:
        super().__init__()
        self.parallel = config.structure == "parallel"
        self.inputs = Inputs(shapes, config.width)
        width = self.inputs.size
        self.crosses = nn.ModuleList(
            Cross(width) if config.rank is None else LowRankCross(width, config.rank, config.experts)
            for _ in range(config.crosses)
        )
        self.deep = Mlp(width, config.hidden, config.dropout, config.batch_norm) if config.hidden else None
        beside = width if self.parallel or self.deep is None else 0
        self.head = nn.Linear(beside + (self.deep.size if self.deep is not None else 0), len(shapes.labels))

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] logits."""
        start_BX = crossed_BX = self.inputs(batch)
        for cross in self.crosses:
            crossed_BX = cross(start_BX, crossed_BX)
        if self.deep is None:
            last = crossed_BX
        elif self.parallel:
            last = torch.cat([crossed_BX, self.deep(start_BX)], dim=1)
        else:
            last = self.deep(crossed_BX)
        logits_BA: Tensor = self.head(last)
        return logits_BA
