"""The user encoder that guesses hidden items from both sides (BERT4Rec, Sun et al. 2019).

Shapes: T tokens, B rows, L longest row, H heads, d width. A hidden token has item id 0.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.batch import SIDE, Batch
from nightrank.ranker.blocks.attention import FullAttention
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.padded_layout import PaddedLayout
from nightrank.ranker.blocks.side_inputs import side_inputs
from nightrank.ranker.blocks.transformer_block import PreNormBlock
from nightrank.ranker.config.encoders import ClozeConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.targets import Targets


class ClozeEncoder(UserEncoder):
    """State t of a row is a function of all of the row's tokens; where the item is hidden it stands for that item."""

    def __init__(self, config: RankerConfig, features: Features | None = None) -> None:
        super().__init__()
        encoder, width = config.encoder, config.width
        assert isinstance(encoder, ClozeConfig)
        self.hidden_share, self.last_share = encoder.hidden_share, encoder.last_share
        self.input_norm = nn.LayerNorm(width) if config.item.input_norm else None
        self.hidden_item = nn.Parameter(torch.empty(1, width))
        self.positions = nn.Embedding(encoder.max_length + 1, width)
        self.dropout = Dropout(encoder.dropout)
        self.blocks = nn.ModuleList(
            PreNormBlock(
                width, encoder.expansion * width, FullAttention(width, encoder.heads, encoder.dropout), encoder.dropout
            )
            for _ in range(encoder.blocks)
        )
        self.out_norm = nn.LayerNorm(width)
        self.side = side_inputs(features, width)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        if batch.tokens == 0:
            return vectors_Td
        x_Td = torch.where((batch.items_T == 0).unsqueeze(1), self.hidden_item.to(vectors_Td.dtype), vectors_Td)
        x_Td = x_Td if self.input_norm is None else self.input_norm(x_Td)
        x_Td = x_Td if self.side is None else x_Td + self.side(batch)
        from_end_T = (batch.lengths[batch.row_T] - 1 - batch.position_T).clamp_max(self.positions.num_embeddings - 1)
        x_Td = self.dropout(x_Td + self.positions(from_end_T))
        layout = PaddedLayout.of(batch.offsets_B1)
        for block in self.blocks:
            x_Td = block(x_Td, layout)
        result: Tensor = self.out_norm(x_Td)
        return result

    def targets(self, batch: Batch) -> Targets:
        """Positions in [loss_from, n) are hidden at random, at least one a row; in some rows the last one alone."""
        draws_T = torch.rand(batch.tokens).to(batch.items_T.device)
        last_only_B = torch.rand(batch.rows).to(batch.items_T.device) < self.last_share
        row_T, last_T = batch.row_T, batch.position_T == (batch.lengths - 1)[batch.row_T]
        allowed_T = batch.position_T >= batch.loss_from_B[row_T]
        hidden_T = allowed_T & torch.where(last_only_B[row_T], last_T, draws_T < self.hidden_share)
        none_B = torch.bincount(row_T[hidden_T], minlength=batch.rows) == 0
        hidden_T |= none_B[row_T] & last_T & allowed_T
        of_items = batch.item_inputs_TF
        inputs = replace(
            batch,
            items_T=batch.items_T.masked_fill(hidden_T, 0),
            # What is known of a hidden item would say which one it is.
            item_inputs_TF=None if of_items is None else of_items.masked_fill(hidden_T[:, None], 0),
        )
        return Targets(inputs, hidden_T.nonzero().flatten(), batch.items_T[hidden_T], batch.weight_B[row_T][hidden_T])

    def query_batch(self, batch: Batch) -> Batch:
        """Each row that has a token with a hidden item after its last one, as if it came right then."""
        grows_B = (batch.lengths > 0).long()
        lengths_B = batch.lengths + grows_B
        offsets_B1 = functional.pad(lengths_B.cumsum(0), (1, 0))
        kept_T = batch.position_T + offsets_B1[batch.row_T]
        end_B = (offsets_B1[1:] - 1)[grows_B > 0]
        last_B = (batch.offsets_B1[1:] - 1)[grows_B > 0]

        def longer(values_T: Tensor, appended: Tensor) -> Tensor:
            result = values_T.new_zeros(int(offsets_B1[-1]), *values_T.shape[1:])
            result[kept_T] = values_T
            result[end_B] = appended
            return result

        side: dict[str, Any] = {
            name: values if values is None else longer(values, torch.zeros_like(values[last_B]) if of_item else values[last_B])
            for name, values, of_item in ((name, getattr(batch, name), name == "item_inputs_TF") for name in SIDE)
        }
        return replace(
            batch,
            items_T=longer(batch.items_T, torch.zeros_like(end_B)),
            actions_T=longer(batch.actions_T, batch.actions_T[last_B]),
            times_T=longer(batch.times_T, batch.times_T[last_B]),
            offsets_B1=offsets_B1,
            **side,
        )
