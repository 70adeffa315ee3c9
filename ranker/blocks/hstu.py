"""One hierarchical sequential transduction unit (Zhai et al. 2024, equations 1 to 3).

Shapes: T tokens, B rows, L longest row, H heads, d width, E = d / H.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.padded_layout import PaddedLayout

TIME_BUCKETS = 64


class HstuBlock(nn.Module):
    """x + out(norm(A V) * U), with U, V, Q, K = silu(inner(norm(x))) and A = silu(Q K^T + bias) / N, causal,
    N the longest history allowed: a constant, so that a row's states do not depend on the rows beside it.

    The bias is learnt by distance and, with times, by bucket of the time between the two events.
    """

    def __init__(self, width: int, heads: int, distances: int, timed: bool, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.in_norm, self.mixed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inner = nn.Linear(width, 4 * width)
        self.out = nn.Linear(width, width)
        self.distance_bias = nn.Parameter(torch.empty(distances))
        self.time_bias = nn.Parameter(torch.empty(TIME_BUCKETS)) if timed else None
        self.dropout = Dropout(dropout)

    def forward(self, x_Td: Tensor, layout: PaddedLayout, bucket_BLL: Tensor | None) -> Tensor:
        gate_Td, value_Td, query_Td, key_Td = functional.silu(self.inner(self.in_norm(x_Td))).chunk(4, dim=1)
        value, query, key = (self._heads(part, layout) for part in (value_Td, query_Td, key_Td))
        scores = query @ key.transpose(2, 3) + self._bias(layout.longest, bucket_BLL).to(query.dtype)
        causal_LL = torch.ones(layout.longest, layout.longest, dtype=torch.bool, device=x_Td.device).tril()
        weights = functional.silu(scores).masked_fill(~causal_LL, 0.0) / len(self.distance_bias)
        mixed_Td = layout.unpack((weights @ value).transpose(1, 2).flatten(2))
        result: Tensor = x_Td + self.dropout(self.out(self.mixed_norm(mixed_Td) * gate_Td))
        return result

    def _heads(self, flat_Td: Tensor, layout: PaddedLayout) -> Tensor:
        """[B, H, L, E]."""
        heads_BHLE: Tensor = layout.pack(flat_Td).unflatten(2, (self.heads, -1)).transpose(1, 2)
        return heads_BHLE

    def _bias(self, longest: int, bucket_BLL: Tensor | None) -> Tensor:
        """[1, 1, L, L], or [B, 1, L, L] with times. Newer tokens get the bias of distance 0; they are masked afterwards."""
        place = torch.arange(longest, device=self.distance_bias.device)
        distance_LL = (place[:, None] - place[None, :]).clamp(0, len(self.distance_bias) - 1)
        bias = self.distance_bias[distance_LL][None, None]
        if self.time_bias is not None and bucket_BLL is not None:
            bias = bias + self.time_bias[bucket_BLL].unsqueeze(1)
        return bias
