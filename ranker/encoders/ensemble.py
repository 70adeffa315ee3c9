"""Several user encoders side by side, each on a part of the width of its own.

Shapes: T tokens, d width, m = d / members.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nightrank.ranker.batch import Batch
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.targets import Targets


class EnsembleEncoder(UserEncoder):
    """Columns [k m, (k + 1) m) of a state are a function of the same columns of the item vectors, by encoder k alone."""

    def __init__(self, members: Sequence[UserEncoder]) -> None:
        super().__init__()
        self.members: Sequence[UserEncoder] = nn.ModuleList(members)  # type: ignore[assignment]
        prefixes = ((place, prefix) for place, member in enumerate(members) for prefix in member.pretrained)
        self.pretrained = tuple(f"members.{place}.{prefix}" for place, prefix in prefixes)  # type: ignore[misc]

    def fill(self, inputs: ItemInputs) -> None:
        for member in self.members:
            member.fill(inputs)

    def adopt(self, folder: Path) -> None:
        for member in self.members:
            member.adopt(folder)

    def targets(self, batch: Batch) -> Targets:
        """The same for all members."""
        result: Targets = self.members[0].targets(batch)
        return result

    def query_batch(self, batch: Batch) -> Batch:
        result: Batch = self.members[0].query_batch(batch)
        return result

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        parts = vectors_Td.tensor_split(len(self.members), dim=1)
        return torch.cat([member(part, batch) for member, part in zip(self.members, parts, strict=True)], dim=1)
