"""A GPT-class causal language model as user encoder, item vectors in the place of word embeddings.

Shapes: T tokens, B rows, L longest row, d width. One of the encoders that need the package transformers.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from nightrank.ranker.batch import Batch
from nightrank.ranker.blocks.padded_layout import PaddedLayout
from nightrank.ranker.config.encoders import CausalLmConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.text.architecture import Architecture
from nightrank.ranker.text.pretrained import adopt, empty_model


class CausalLmEncoder(UserEncoder):
    """State t of a row is a function of the row's tokens up to t: a causal model (from scratch GPT-2, Radford et al. 2019) with
    rows padded on the right. Where it is of another width than the ranker, a matrix stands on either side."""

    def __init__(self, config: RankerConfig) -> None:
        super().__init__()
        encoder, width = config.encoder, config.width
        assert isinstance(encoder, CausalLmConfig)
        self.input_norm = nn.LayerNorm(width) if config.item.input_norm else None
        self.model = empty_model(encoder.architecture or _gpt2(encoder, width), encoder.architecture is None)
        # Item vectors come in from outside; word embeddings would be weights that nothing moves.
        self.model.set_input_embeddings(nn.Identity())
        inner = int(self.model.config.hidden_size)
        self.into = nn.Linear(width, inner, bias=False) if inner != width else None
        self.out = nn.Linear(inner, width, bias=False) if inner != width else None
        self.longest = min(encoder.max_length, int(getattr(self.model.config, "max_position_embeddings", encoder.max_length)))
        self.pretrained = ("model.",) if encoder.model else ()  # type: ignore[misc]

    def adopt(self, folder: Path) -> None:
        adopt(self.model, folder)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        if batch.tokens == 0:
            return vectors_Td
        x_Td = vectors_Td if self.input_norm is None else self.input_norm(vectors_Td)
        x_Td = x_Td if self.into is None else self.into(x_Td)
        layout = PaddedLayout.of(batch.offsets_B1)
        place_L = torch.arange(layout.longest, device=x_Td.device).clamp_max(self.longest - 1)
        # Attention is causal and rows are padded on the right, so padding never reaches a state and needs no mask.
        found = self.model(inputs_embeds=layout.pack(x_Td), position_ids=place_L.unsqueeze(0), use_cache=False)
        states_Td = layout.unpack(found.last_hidden_state)
        return states_Td if self.out is None else self.out(states_Td)


def _gpt2(encoder: CausalLmConfig, width: int) -> Architecture:
    return {
        "model_type": "gpt2",
        "vocab_size": 1,
        "n_positions": encoder.max_length,
        "n_embd": width,
        "n_layer": encoder.blocks,
        "n_head": encoder.heads,
        "resid_pdrop": encoder.dropout,
        "embd_pdrop": encoder.dropout,
        "attn_pdrop": encoder.dropout,
    }
