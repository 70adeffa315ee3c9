"""Self-attention over flat tokens: causal, or to both sides.

Shapes: T tokens, B rows, L longest row, H heads, d width, E = d / H.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.blocks.padded_layout import PaddedLayout


class CausalAttention(nn.Module):
    """Each token attends to itself and to the older tokens of its row; rows never see each other.

    With `distances` > 0 a learnt bias per head and distance (clamped to distances - 1) is added to the scores
    (Shaw et al. 2018, in the form of T5).
    """

    def __init__(self, width: int, heads: int, dropout: float, distances: int = 0) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.empty(heads, distances)) if distances else None

    def forward(self, x_Td: Tensor, layout: PaddedLayout) -> Tensor:
        packed = layout.pack(self.qkv(x_Td))
        shape = (layout.rows, layout.longest, 3, self.heads, -1)
        query, key, value = packed.view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        mask = self._mask(layout.longest, query)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None, dropout_p=self.dropout if self.training else 0.0
        )
        result: Tensor = self.out(layout.unpack(mixed.transpose(1, 2).flatten(2)))
        return result

    def _mask(self, longest: int, like: Tensor) -> Tensor | None:
        """[H, L, L]: the bias by distance, -inf for newer tokens."""
        if self.bias is None:
            return None
        place = torch.arange(longest, device=like.device)
        distance_LL = place[:, None] - place[None, :]
        bias_HLL = self.bias[:, distance_LL.clamp(0, self.bias.shape[1] - 1)]
        return bias_HLL.masked_fill(distance_LL < 0, float("-inf")).to(like.dtype)


class FullAttention(nn.Module):
    """Each token attends to all tokens of its row; rows never see each other."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x_Td: Tensor, layout: PaddedLayout) -> Tensor:
        packed = layout.pack(self.qkv(x_Td))
        shape = (layout.rows, layout.longest, 3, self.heads, -1)
        query, key, value = packed.view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        dropout = self.dropout if self.training else 0.0
        mask_B11L = layout.filled()[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask_B11L, dropout_p=dropout)
        result: Tensor = self.out(layout.unpack(mixed.transpose(1, 2).flatten(2)))
        return result
