"""Logistic regression. Shapes: B rows, F fields, A actions."""

import torch
from torch import Tensor, nn

from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, LrConfig
from nightrank.ranker.ctr.layers import FieldTable, Numbers


class Linear(nn.Module):
    def __init__(self, config: LrConfig, shapes: CtrShapes) -> None:
        super().__init__()
        actions = len(shapes.labels)
        self.fields = FieldTable(shapes.fields, actions)
        self.numbers = Numbers(shapes)
        self.slope = nn.Linear(len(shapes.numeric), actions, bias=False) if shapes.numeric else None
        self.bias = nn.Parameter(torch.zeros(actions))

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] logits."""
        logits_BA: Tensor = self.fields(batch.codes_BF).sum(dim=1) + self.bias
        return logits_BA if self.slope is None else logits_BA + self.slope(self.numbers(batch.numeric_BD))
