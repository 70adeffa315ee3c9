"""Several actions at once: shared experts, a gate and a tower an action (MMoE, Ma et al. 2018).

Shapes: B rows, E experts, Y an expert's width, A actions.
"""

import torch
from torch import Tensor, nn

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, MmoeConfig
from nightrank.ranker.ctr.layers import Inputs, Mlp


class Task(nn.Module):
    """One action: a softmax gate over the experts, then a tower (equations 6 and 7)."""

    def __init__(self, config: MmoeConfig, inputs: int, expert: int) -> None:
        super().__init__()
        self.gate = nn.Linear(inputs, config.experts)
        self.tower = Mlp(expert, config.tower_hidden, config.dropout, config.batch_norm)
        self.head = nn.Linear(self.tower.size, 1)

    def forward(self, inputs_BX: Tensor, seen_BEY: Tensor) -> Tensor:
        """[B, 1]."""
        gate_BE = torch.softmax(self.gate(inputs_BX), dim=1)
        mixed_BY = torch.bmm(gate_BE.unsqueeze(1), seen_BEY).squeeze(1)
        result: Tensor = self.head(self.tower(mixed_BY))
        return result


class Mmoe(nn.Module):
    def __init__(self, config: MmoeConfig, shapes: CtrShapes) -> None:
        super().__init__()
        self.inputs = Inputs(shapes, config.width)
        self.experts = nn.ModuleList(
            Mlp(self.inputs.size, config.expert_hidden, config.dropout, config.batch_norm) for _ in range(config.experts)
        )
        self.tasks = nn.ModuleList(Task(config, self.inputs.size, config.expert_hidden[-1]) for _ in shapes.labels)

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] logits."""
        inputs_BX = self.inputs(batch)
        seen_BEY = torch.stack([expert(inputs_BX) for expert in self.experts], dim=1)
        return torch.cat([task(inputs_BX, seen_BEY) for task in self.tasks], dim=1)
