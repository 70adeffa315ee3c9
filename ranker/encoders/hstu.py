"""The user encoder of hierarchical sequential transduction units.

Shapes: T tokens, B rows, L longest row, d width.
"""

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.batch import Batch
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.hstu import TIME_BUCKETS, HstuBlock
from nightrank.ranker.blocks.padded_layout import PaddedLayout
from nightrank.ranker.blocks.side_inputs import side_inputs
from nightrank.ranker.config.encoders import HstuConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder

MICROSECONDS = 1_000_000


class HstuEncoder(UserEncoder):
    """State t of a row is a function of the row's tokens up to t and the times between them."""

    def __init__(self, config: RankerConfig, features: Features | None = None) -> None:
        super().__init__()
        encoder, width = config.encoder, config.width
        assert isinstance(encoder, HstuConfig)
        self.timed = encoder.time_bias
        self.input_norm = nn.LayerNorm(width) if config.item.input_norm else None
        self.positions = nn.Embedding(encoder.max_length, width)
        self.dropout = Dropout(encoder.dropout)
        self.blocks = nn.ModuleList(
            HstuBlock(width, encoder.heads, encoder.max_length, encoder.time_bias, encoder.dropout)
            for _ in range(encoder.blocks)
        )
        self.out_norm = nn.LayerNorm(width)
        self.side = side_inputs(features, width)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        if batch.tokens == 0:
            return vectors_Td
        x_Td = vectors_Td if self.input_norm is None else self.input_norm(vectors_Td)
        x_Td = x_Td if self.side is None else x_Td + self.side(batch)
        from_end_T = (batch.lengths[batch.row_T] - 1 - batch.position_T).clamp_max(self.positions.num_embeddings - 1)
        x_Td = self.dropout(x_Td + self.positions(from_end_T))
        layout = PaddedLayout.of(batch.offsets_B1)
        bucket_BLL = time_buckets(batch, layout) if self.timed else None
        for block in self.blocks:
            x_Td = block(x_Td, layout, bucket_BLL)
        result: Tensor = self.out_norm(x_Td)
        return result


def time_buckets(batch: Batch, layout: PaddedLayout) -> Tensor:
    """[B, L, L]: 1 + floor(log2(1 + seconds between two events of a row)), 0 where one of the times is not known."""
    times_BL = layout.pack(batch.times_T.unsqueeze(1)).squeeze(2)
    known_BL = times_BL > 0
    seconds_BLL = (times_BL[:, :, None] - times_BL[:, None, :]).abs() // MICROSECONDS
    bucket_BLL = (1 + torch.log2(1 + seconds_BLL.double()).floor().long()).clamp_max(TIME_BUCKETS - 1)
    return torch.where(known_BL[:, :, None] & known_BL[:, None, :], bucket_BLL, 0)
