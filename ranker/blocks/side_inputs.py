"""What is known of user and item as of each event, as vectors.

Shapes: T tokens, F aggregates, A attributes, d width.
"""

from typing import Final

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.batch import Batch

ATTRIBUTE_WIDTH: Final = 8
"""Of an attribute beside other inputs of a perceptron."""


class SideInputs(nn.Module):
    """`forward(batch)` -> [T, d] to add to the tokens' vectors: linear in the aggregates, a vector for each attribute's value.

    Zeros at first, so that a ranker starts as the one without features.
    """

    def __init__(self, features: Features, width: int) -> None:
        super().__init__()
        self.user = nn.Linear(len(features.user), width, bias=False) if features.user else None
        self.item = nn.Linear(len(features.item), width, bias=False) if features.item else None
        self.attributes = nn.ModuleList(nn.Embedding(len(each.values) + 1, width) for each in features.attributes)

    def forward(self, batch: Batch) -> Tensor:
        parts: list[Tensor] = []
        if self.user is not None:
            parts.append(self.user(given(batch, "user_inputs_TF")))
        if self.item is not None:
            parts.append(self.item(given(batch, "item_inputs_TF")))
        if len(self.attributes):
            codes_TA = given(batch, "attributes_TA")
            parts += [table(codes_TA[:, place]) for place, table in enumerate(self.attributes)]
        return torch.stack(parts).sum(0)


def side_inputs(features: Features | None, width: int) -> SideInputs | None:
    """None where there is nothing to read."""
    return SideInputs(features, width) if features and (features.user or features.item or features.attributes) else None


class SideColumns(nn.Module):
    """The same beside other inputs of a perceptron: `of_users` [T, F + 8 A]."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.user_names, self.item_names = features.user, features.item
        self.attributes = nn.ModuleList(nn.Embedding(len(each.values) + 1, ATTRIBUTE_WIDTH) for each in features.attributes)

    @property
    def user_width(self) -> int:
        return len(self.user_names) + ATTRIBUTE_WIDTH * len(self.attributes)

    def of_users(self, batch: Batch) -> list[Tensor]:
        parts = [given(batch, "user_inputs_TF")] if self.user_names else []
        if len(self.attributes):
            codes_TA = given(batch, "attributes_TA")
            parts += [table(codes_TA[:, place]) for place, table in enumerate(self.attributes)]
        return parts


def given(batch: Batch, name: str) -> Tensor:
    """DataContractError where the batch comes without the inputs."""
    values: Tensor | None = getattr(batch, name)
    if values is None:
        raise DataContractError(
            f"the ranker reads features, the batch has no {name}", "fill it with the tables the ranker was trained on"
        )
    return values
