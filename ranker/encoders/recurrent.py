"""A recurrent user encoder: GRU or LSTM over the history.

Shapes: T tokens, B rows, L longest row, h state width, d width.
"""

from torch import Tensor, nn

from nightrank.feature_store.contracts.features import Features
from nightrank.ranker.batch import Batch
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.padded_layout import PaddedLayout
from nightrank.ranker.blocks.side_inputs import side_inputs
from nightrank.ranker.config.encoders import RecurrentConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder


class RecurrentEncoder(UserEncoder):
    """State t of a row is a function of the row's tokens up to t (GRU4Rec, Hidasi et al. 2016)."""

    def __init__(self, config: RankerConfig, features: Features | None = None) -> None:
        super().__init__()
        encoder, width = config.encoder, config.width
        assert isinstance(encoder, RecurrentConfig)
        hidden = encoder.hidden or width
        kind = nn.GRU if encoder.name == "gru" else nn.LSTM
        between = encoder.dropout if encoder.layers > 1 else 0.0
        self.input_norm = nn.LayerNorm(width) if config.item.input_norm else None
        self.dropout = Dropout(encoder.dropout)
        self.cell = kind(width, hidden, encoder.layers, batch_first=True, dropout=between)
        self.out = nn.Linear(hidden, width)
        self.side = side_inputs(features, width)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        if batch.tokens == 0:
            return vectors_Td
        x_Td = vectors_Td if self.input_norm is None else self.input_norm(vectors_Td)
        x_Td = x_Td if self.side is None else x_Td + self.side(batch)
        layout = PaddedLayout.of(batch.offsets_B1)
        # Rows are padded on the right, so what is after a row's end never reaches its states.
        states_BLh, _ = self.cell(layout.pack(self.dropout(x_Td)))
        result: Tensor = self.out(self.dropout(layout.unpack(states_BLh)))
        return result
