"""A GPT-class causal language model as user encoder, item vectors in the place of word embeddings.

Shapes: T tokens, B rows, L longest row, d width. The one encoder that needs the package transformers.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ranker.batch import Batch
from ranker.blocks.rectangle import Rectangle
from ranker.config import RankerConfig
from ranker.encoders.base import UserEncoder
from ranker.encoders.config import CausalLmConfig


class CausalLmEncoder(UserEncoder):
    """State t of a row is a function of the row's tokens up to t: GPT-2 (Radford et al. 2019) with rows padded on the right."""

    def __init__(self, config: RankerConfig) -> None:
        super().__init__()
        encoder = config.encoder
        assert isinstance(encoder, CausalLmConfig)
        self.input_norm = nn.LayerNorm(config.width) if config.item.input_norm else None
        self.model = _gpt2(encoder, config.width)
        self.longest = encoder.max_length

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        if batch.tokens == 0:
            return vectors_Td
        x_Td = vectors_Td if self.input_norm is None else self.input_norm(vectors_Td)
        rectangle = Rectangle.of(batch.offsets_B1)
        place_L = torch.arange(rectangle.longest, device=x_Td.device).clamp_max(self.longest - 1)
        # Attention is causal and rows are padded on the right, so padding never reaches a state and needs no mask.
        states = self.model(inputs_embeds=rectangle.pack(x_Td), position_ids=place_L.unsqueeze(0), use_cache=False)
        return rectangle.unpack(states.last_hidden_state)


def _gpt2(encoder: CausalLmConfig, width: int) -> Any:
    from transformers import GPT2Config, GPT2Model

    settings = GPT2Config(
        vocab_size=1,
        n_positions=encoder.max_length,
        n_embd=width,
        n_layer=encoder.blocks,
        n_head=encoder.heads,
        resid_pdrop=encoder.dropout,
        embd_pdrop=encoder.dropout,
        attn_pdrop=encoder.dropout,
    )
    model = GPT2Model(settings)
    # Item vectors come in from outside; a word table of one row would be a weight that nothing moves.
    model.wte = nn.Identity()
    return model
