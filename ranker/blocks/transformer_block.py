"""One transformer block: attention, then a feed-forward layer, each on a residual branch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nightrank.ranker.blocks.attention import CausalAttention, FullAttention
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.feed_forward import FeedForward, SwiGlu
from nightrank.ranker.blocks.padded_layout import PaddedLayout

Block = Callable[[Tensor, PaddedLayout], Tensor]


class PreNormBlock(nn.Module):
    """x + f(norm(x)) for both branches (Xiong et al. 2020)."""

    def __init__(self, width: int, hidden: int, attention: CausalAttention | FullAttention, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = attention
        self.feed = FeedForward(width, hidden, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x_Td: Tensor, layout: PaddedLayout) -> Tensor:
        x_Td = x_Td + self.dropout(self.attention(self.attention_norm(x_Td), layout))
        result: Tensor = x_Td + self.dropout(self.feed(self.feed_norm(x_Td)))
        return result


class GatedBlock(nn.Module):
    """x + f(norm(x)) * sigmoid(gate(x)) for both branches, SwiGLU inside (LiGR, Borisyuk et al. 2024)."""

    def __init__(self, width: int, hidden: int, attention: CausalAttention, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention_gate, self.feed_gate = nn.Linear(width, width), nn.Linear(width, width)
        self.attention = attention
        self.feed = SwiGlu(width, hidden, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x_Td: Tensor, layout: PaddedLayout) -> Tensor:
        attended = self.attention(self.attention_norm(x_Td), layout)
        x_Td = x_Td + self.dropout(attended * torch.sigmoid(self.attention_gate(x_Td)))
        fed = self.feed(self.feed_norm(x_Td))
        result: Tensor = x_Td + self.dropout(fed * torch.sigmoid(self.feed_gate(x_Td)))
        return result
