"""Layers that click rankers share. Shapes: B rows, F fields, D numbers, d embedding width, X = F d + D inputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, FieldShape, Layers


class FieldTable(nn.Module):
    """One table for all fields, each with rows of its own behind the fields before it: one gather instead of F."""

    starts_F: Tensor

    def __init__(self, fields: tuple[FieldShape, ...], width: int) -> None:
        super().__init__()
        self.names = tuple(field.name for field in fields)
        starts = [0]
        for field in fields:
            starts.append(starts[-1] + field.size)
        self.table = nn.Embedding(starts[-1], width)
        self.register_buffer("starts_F", torch.tensor(starts[:-1], dtype=torch.int64), persistent=False)

    def forward(self, codes_BF: Tensor) -> Tensor:
        """[B, F, d]."""
        result: Tensor = functional.embedding(codes_BF + self.starts_F, self.table.weight)
        return result

    def of_field(self, place: int, codes_T: Tensor) -> Tensor:
        """[T, d] of codes of one field."""
        result: Tensor = functional.embedding(codes_T + self.starts_F[place], self.table.weight)
        return result

    def forget_unknown(self) -> None:
        """Code 0 of every field is zeros: never trained, it adds nothing."""
        self.table.weight[self.starts_F] = 0


class Numbers(nn.Module):
    """Numeric features on one scale, as the shapes say; what is not known reads as the mean."""

    mean_D: Tensor
    scale_D: Tensor

    def __init__(self, shapes: CtrShapes) -> None:
        super().__init__()
        self.register_buffer("mean_D", torch.tensor([n.mean for n in shapes.numeric]), persistent=False)
        self.register_buffer("scale_D", torch.tensor([n.scale for n in shapes.numeric]), persistent=False)

    def forward(self, numeric_BD: Tensor) -> Tensor:
        """[B, D] without NaN."""
        return torch.nan_to_num((numeric_BD - self.mean_D) / self.scale_D, nan=0.0)


class Inputs(nn.Module):
    """An impression as one vector: its fields' embeddings side by side, then its numbers."""

    def __init__(self, shapes: CtrShapes, width: int) -> None:
        super().__init__()
        self.fields = FieldTable(shapes.fields, width)
        self.numbers = Numbers(shapes)
        self.size = len(shapes.fields) * width + len(shapes.numeric)

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, X]."""
        embedded_BX: Tensor = self.fields(batch.codes_BF).flatten(1)
        if batch.numeric_BD.shape[1] == 0:
            return embedded_BX
        return torch.cat([embedded_BX, self.numbers(batch.numeric_BD)], dim=1)


class RowNorm(nn.BatchNorm1d):
    """Batch norm that takes a batch of no row or one, which has no variance, by the running statistics."""

    def forward(self, x_BX: Tensor) -> Tensor:
        if self.training and len(x_BX) < 2:
            result: Tensor = functional.batch_norm(
                x_BX, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
            return result
        return super().forward(x_BX)


class Mlp(nn.Module):
    """Linear, batch norm, ReLU, dropout, a layer each; without layers the identity. `size` is the width it ends with."""

    def __init__(self, width: int, hidden: Layers, dropout: float = 0.0, batch_norm: bool = False) -> None:
        super().__init__()
        self.size = hidden[-1] if hidden else width
        self.dropout = Dropout(dropout)
        widths = zip((width, *hidden), hidden, strict=False)
        # A bias in front of batch norm is taken away again by its mean.
        self.layers = nn.ModuleList(nn.Linear(before, after, bias=not batch_norm) for before, after in widths)
        self.norms = nn.ModuleList(RowNorm(after) if batch_norm else nn.Identity() for after in hidden)

    def forward(self, x_BX: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x_BX = self.dropout(functional.relu(norm(layer(x_BX))))
        return x_BX


def place_of(shapes: CtrShapes, name: str, setting: str) -> int:
    """Where the field stands among the batch's columns; ConfigError naming it where there is none."""
    names = [field.name for field in shapes.fields]
    if name not in names:
        raise ConfigError(f"{setting} names the field {name}, which the impressions do not have", f"they have {names}")
    return names.index(name)
