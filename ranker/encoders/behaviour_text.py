"""A user's behaviour as text, through the encoder of the items' texts. One of the encoders that need the package transformers.

Shapes: T tokens of histories, B rows, W words kept an item, L words of the longest history, d width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.batch import Batch
from nightrank.ranker.config.encoders import BehaviourTextConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.ranker.targets import Targets
from nightrank.ranker.text.pooling import mean_states
from nightrank.ranker.text.positions import most_tokens
from nightrank.ranker.text.pretrained import adopt, empty_model, tuned
from nightrank.ranker.text.words import Words, opening_and_closing, words_of


class BehaviourTextEncoder(UserEncoder):
    """One state a row, at its last token; all other tokens have zeros."""

    pretrained = ("model.",)

    words: Tensor
    marks: Tensor

    def __init__(self, config: RankerConfig, shapes: ItemShapes) -> None:
        super().__init__()
        encoder = config.encoder
        assert isinstance(encoder, BehaviourTextConfig)
        if encoder.architecture is None:
            raise ConfigError(
                "encoder bert_behaviour reads the items' texts, and there is no text encoder",
                "set text.encoder, or use another encoder",
            )
        model = empty_model(encoder.architecture)
        self.longest, self.max_tokens = encoder.max_length, min(encoder.max_tokens, most_tokens(model) or encoder.max_tokens)
        self.model = tuned(model, encoder.tuning, seed=0)
        shape: Any = model.config
        self.dense = nn.Linear(int(shape.hidden_size), config.width)
        self.register_buffer("words", torch.zeros(shapes.items + 1, encoder.words, dtype=torch.int32))
        self.register_buffer("marks", torch.zeros(2, dtype=torch.int32))

    def fill(self, inputs: ItemInputs) -> None:
        """Takes the items' words from their tokens; what opens and closes every text opens a history and parts its items."""
        if inputs.tokens is None:
            return
        marks = opening_and_closing(inputs.tokens)
        self.marks.copy_(torch.tensor([mark or 0 for mark in marks]))
        self.words.copy_(words_of(inputs.tokens, self.words.shape[1], marks))

    def adopt(self, folder: Path) -> None:
        adopt(self.model, folder)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        there_R = (batch.lengths > 0).nonzero().flatten()
        states_Td = torch.zeros(batch.tokens, self.dense.out_features, device=batch.items_T.device)
        if len(there_R) == 0:
            return states_Td
        text = Words.of(batch.newest(self.longest), self.words, self.marks, self.max_tokens)
        ids_RL, mask_RL = text.ids_BL[there_R], text.mask_BL[there_R]
        found_RLW = self.model(input_ids=ids_RL, attention_mask=mask_RL.long()).last_hidden_state
        of_rows_Rd = self.dense(mean_states(found_RLW, mask_RL)).float()
        return states_Td.index_copy(0, (batch.offsets_B1[1:] - 1)[there_R], of_rows_Rd)

    def targets(self, batch: Batch) -> Targets:
        """One position p of [max(1, loss_from), n) a row, drawn at random, from what was before it."""
        first_B = batch.loss_from_B.clamp_min(1)
        there_B = batch.lengths > first_B
        draws_B = torch.rand(batch.rows).to(batch.items_T.device)
        target_B = first_B + (draws_B * (batch.lengths - first_B)).long()
        cut_B = torch.where(there_B, target_B, torch.zeros_like(target_B))
        inputs = batch.keep(batch.position_T < cut_B[batch.row_T])
        wanted_S = (batch.offsets_B1[:-1] + target_B)[there_B]
        return Targets(inputs, (inputs.offsets_B1[1:] - 1)[there_B], batch.items_T[wanted_S], batch.weight_B[there_B])
