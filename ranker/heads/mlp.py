"""A score by a perceptron over state and item, pair by pair.

Shapes: S states, M items, d width, h hidden.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ranker.config import MlpConfig, RankerConfig

PAIRS = 8_000_000
"""Hidden values held at once when all items are scored."""


class MlpHead(nn.Module):  # type: ignore[misc]
    """s = out(gelu(user(u) + item(v))): a two-layer perceptron over (u, v) beside each other (He et al. 2017), its first layer
    taken once a state and once an item."""

    def __init__(self, config: RankerConfig) -> None:
        super().__init__()
        assert isinstance(config.head, MlpConfig)
        width, hidden = config.width, config.head.hidden
        self.width = hidden
        """Columns of `query` and `catalogue`."""
        self.keeps_inputs = False
        self.of_user = nn.Linear(width, hidden)
        self.of_item = nn.Linear(width, hidden, bias=False)
        self.out = nn.Linear(hidden, 1)

    def user(self, states_Td: Tensor) -> Tensor:
        """[T, h]."""
        result: Tensor = self.of_user(states_Td)
        return result

    def item(self, vectors_Nd: Tensor) -> Tensor:
        """[N, h]."""
        result: Tensor = self.of_item(vectors_Nd)
        return result

    def own(self, users_Sh: Tensor, items_Sh: Tensor) -> Tensor:
        """[S] fp32: each state with its own item."""
        return self._score(users_Sh + items_Sh)

    def every(self, users_Sh: Tensor, items_Mh: Tensor) -> Tensor:
        """[S, M] fp32: each state with every item."""
        return self._score(users_Sh[:, None, :] + items_Mh[None, :, :])

    def query(self, states_Td: Tensor) -> Tensor:
        """[T, h]: what is held against `catalogue`."""
        return self.user(states_Td)

    def catalogue(self, vectors_Nd: Tensor, bias_N: Tensor | None) -> Tensor:
        return self.item(vectors_Nd)

    def scores(self, queries_Bh: Tensor, catalogue_Ih: Tensor) -> Tensor:
        """[B, I] fp32, a few rows at a time."""
        rows = max(1, PAIRS // max(1, catalogue_Ih.numel()))
        parts = [self.every(part, catalogue_Ih) for part in queries_Bh.split(rows)]
        return torch.cat(parts) if parts else queries_Bh.new_zeros(0, len(catalogue_Ih))

    def _score(self, sums: Tensor) -> Tensor:
        result: Tensor = self.out(functional.gelu(sums)).squeeze(-1).float()
        return result
