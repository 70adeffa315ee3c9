"""The user encoder: a causal transformer from item vectors to one state a token.

Shapes: T tokens, B rows, d width.
"""

from typing import Final

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts.actions import HIGHEST_HISTORY_CODE
from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.batch import Batch
from nightrank.ranker.blocks.attention import CausalAttention
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.padded_layout import PaddedLayout
from nightrank.ranker.blocks.side_inputs import side_inputs
from nightrank.ranker.blocks.transformer_block import GatedBlock, PreNormBlock
from nightrank.ranker.config.encoders import TransformerConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.targets import Targets, next_items

GAP_BUCKETS: Final = 32
MICROSECONDS: Final = 1_000_000


class TransformerEncoder(UserEncoder):
    """State t of a row is a function of the row's tokens up to t and, with `waits`, of the time of the next one."""

    def __init__(self, config: RankerConfig, features: Features | None = None) -> None:
        super().__init__()
        encoder, width = config.encoder, config.width
        assert isinstance(encoder, TransformerConfig)
        self.kind = encoder.positions
        self.input_norm = nn.LayerNorm(width) if config.item.input_norm else None
        absolute = encoder.positions in ("from_end", "from_start")
        self.positions = nn.Embedding(encoder.max_length, width) if absolute else None
        self.actions = nn.Embedding(HIGHEST_HISTORY_CODE + 1, width) if encoder.actions else None
        self.gaps = nn.Embedding(GAP_BUCKETS, width) if encoder.time_gaps else None
        self.time_to_next_event = nn.Embedding(GAP_BUCKETS, width) if encoder.time_to_next_event else None
        self.time_to_next_event_served = encoder.time_to_next_event_served
        self.dropout = Dropout(encoder.dropout)
        block = GatedBlock if encoder.block == "gated" else PreNormBlock
        distances = encoder.max_length if encoder.positions == "relative" else 0
        self.blocks = nn.ModuleList(
            block(
                width,
                encoder.expansion * width,
                CausalAttention(width, encoder.heads, encoder.dropout, distances),
                encoder.dropout,
            )
            for _ in range(encoder.blocks)
        )
        self.out_norm = nn.LayerNorm(width)
        self.start = nn.Parameter(torch.empty(1, width)) if encoder.first_items else None
        """[1, d]: the state before any token."""
        self.side = side_inputs(features, width)

    def targets(self, batch: Batch) -> Targets:
        return next_items(batch, first=self.start is not None)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        """[T, d]: the user's state after each token; in training, with `first_items`, one more for the state before any."""
        states_Td = self._after_tokens(vectors_Td, batch) if batch.tokens else vectors_Td
        if self.start is None or not self.training:
            return states_Td
        return torch.cat([states_Td, self.out_norm(self.start).to(states_Td.dtype)])

    def _after_tokens(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        x_Td = self.input_norm(vectors_Td) if self.input_norm is not None else vectors_Td
        if self.side is not None:
            x_Td = x_Td + self.side(batch)
        if self.positions is not None:
            x_Td = x_Td + self.positions(self._places(batch, self.positions.num_embeddings))
        if self.actions is not None:
            x_Td = x_Td + self.actions(batch.actions_T.clamp(0, self.actions.num_embeddings - 1))
        if self.gaps is not None:
            x_Td = x_Td + self.gaps(gap_buckets(batch))
        if self.time_to_next_event is not None:
            x_Td = x_Td + self.time_to_next_event(time_to_next_event_buckets(batch, self.time_to_next_event_served))
        x_Td = self.dropout(x_Td)
        layout = PaddedLayout.of(batch.offsets_B1)
        for block in self.blocks:
            x_Td = block(x_Td, layout)
        result: Tensor = self.out_norm(x_Td)
        return result

    def _places(self, batch: Batch, rows: int) -> Tensor:
        """Position of each token, clamped to the table: histories longer than it share its last row."""
        place_T = batch.position_T
        if self.kind == "from_end":
            place_T = batch.lengths[batch.row_T] - 1 - place_T
        return place_T.clamp_max(rows - 1)


def gap_buckets(batch: Batch) -> Tensor:
    """[T]: 0 for a row's first token and where a time is not known, else 1 + floor(log2(1 + seconds since the one before))."""
    before_T = torch.cat([batch.times_T[:1], batch.times_T[:-1]])
    known_T = (batch.position_T > 0) & (batch.times_T > 0) & (before_T > 0)
    return torch.where(known_T, _bucket(batch.times_T - before_T), 0)


def time_to_next_event_buckets(batch: Batch, served_seconds: float) -> Tensor:
    """[T]: 1 + floor(log2(1 + seconds until the event asked for after this token)).

    That is the row's next token, and for its last one what `batch.wait_B` says; `served_seconds` where a time is not known, as
    in a list and in a history of bare item ids.
    """
    after_T = torch.cat([batch.times_T[1:], batch.times_T[-1:]])
    row_T = batch.row_T
    last_T = batch.position_T == (batch.lengths - 1)[row_T]
    known_T = ~last_T & (batch.times_T > 0) & (after_T > 0)
    time_to_next_event_T = torch.where(known_T, (after_T - batch.times_T).clamp_min(0), -1)
    if batch.time_to_next_event_B is not None:
        time_to_next_event_T = torch.where(last_T, batch.time_to_next_event_B[row_T], time_to_next_event_T)
    return _bucket(torch.where(time_to_next_event_T < 0, int(served_seconds * MICROSECONDS), time_to_next_event_T))


def _bucket(microseconds_T: Tensor) -> Tensor:
    seconds_T = (microseconds_T.clamp_min(0) // MICROSECONDS).double()
    return (1 + torch.log2(1 + seconds_T).floor().long()).clamp_max(GAP_BUCKETS - 1)
