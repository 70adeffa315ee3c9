"""The user tower: a perceptron over what a history says up to each event.

Shapes: T tokens, B rows, A action codes, d width.
"""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.feature_store.contracts.actions import HIGHEST_HISTORY_CODE
from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.batch import Batch
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.perceptron import Perceptron
from nightrank.ranker.blocks.side_inputs import SideColumns, given
from nightrank.ranker.config.encoders import TowersConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.encoders.transformer import gap_buckets

ACTIONS: Final = HIGHEST_HISTORY_CODE + 1
SCALE: Final = 0.1
"""Of logarithms of counts and of gaps, so that they are beside normalised vectors."""


class TowersEncoder(UserEncoder):
    """State t of a row is a function of the row's tokens up to t, whatever their order but for the newest ones.

    The two-tower form of Covington et al. (2016): pooled item vectors and counts, concatenated, into a perceptron.
    """

    def __init__(self, config: RankerConfig, features: Features | None = None) -> None:
        super().__init__()
        encoder, width = config.encoder, config.width
        assert isinstance(encoder, TowersConfig)
        self.newest = encoder.newest
        self.input_norm = nn.LayerNorm(width) if config.item.input_norm else None
        self.dropout = Dropout(encoder.dropout)
        self.side = None if features is None else SideColumns(features)
        beside = 0 if self.side is None else self.side.user_width + 3 * len(self.side.item_names)
        self.tower = Perceptron(3 * width + ACTIONS + 2 + beside, encoder.hidden, width, encoder.dropout)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        if batch.tokens == 0:
            return vectors_Td
        x_Td = vectors_Td if self.input_norm is None else self.input_norm(vectors_Td)
        x_Td = self.dropout(x_Td)
        result: Tensor = self.tower(torch.cat([*self._pooled(x_Td, batch), *_counted(batch), *self._beside(batch)], dim=1))
        return result

    def _beside(self, batch: Batch) -> list[Tensor]:
        """Features of the user, and those of the history's items pooled as their vectors are."""
        if self.side is None:
            return []
        of_items = self._pooled(given(batch, "item_inputs_TF"), batch) if self.side.item_names else []
        return [*self.side.of_users(batch), *of_items]

    def _pooled(self, x_Td: Tensor, batch: Batch) -> list[Tensor]:
        """The last item's vector, the mean of the newest few, the mean of all: each up to its token."""
        until_T1d = functional.pad(x_Td.double().cumsum(0), (0, 0, 1, 0))
        place_T = torch.arange(1, batch.tokens + 1, device=x_Td.device)
        first_T = batch.offsets_B1[batch.row_T]
        means = []
        for start_T in (torch.maximum(first_T, place_T - self.newest), first_T):
            sums_Td = until_T1d[place_T] - until_T1d[start_T]
            means.append((sums_Td / (place_T - start_T).unsqueeze(1)).to(x_Td.dtype))
        return [x_Td, *means]


def _counted(batch: Batch) -> list[Tensor]:
    """[T, A] log counts by action, [T, 1] log count of all, [T, 1] log seconds since the event before; up to each token."""
    one_hot_TA = functional.one_hot(batch.actions_T.clamp(0, ACTIONS - 1), ACTIONS)
    until_T1A = functional.pad(one_hot_TA.cumsum(0), (0, 0, 1, 0))
    place_T = torch.arange(1, batch.tokens + 1, device=batch.items_T.device)
    counts_TA = until_T1A[place_T] - until_T1A[batch.offsets_B1[batch.row_T]]
    total_T1 = counts_TA.sum(1, keepdim=True)
    return [SCALE * torch.log1p(counts_TA.float()), SCALE * torch.log1p(total_T1.float()), _gaps(batch)]


def _gaps(batch: Batch) -> Tensor:
    return SCALE * gap_buckets(batch).float().unsqueeze(1)
