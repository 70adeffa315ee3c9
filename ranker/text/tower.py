"""The text encoder inside a ranker: items to unit vectors of their texts, with a gradient where it is asked for.

Shapes: N items, L tokens of the longest, W width of the encoder.
"""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.inputs import Tokens
from nightrank.ranker.text.config import TextTuningConfig
from nightrank.ranker.text.packing import packed
from nightrank.ranker.text.pooling import mean_states

FEW: Final = 8
"""Rows below which products are too small to be worth a batch of their own."""


class TextTower(nn.Module):
    """Mean over a text's token states, then unit length: the pooling of `embed_items`, so that an encoder that was not tuned
    yet gives the cached vectors.

    `state_dict()` holds what is trained, nothing else: adapters alone with LoRA.
    """

    token_ids: Tensor
    token_offsets: Tensor

    def __init__(self, model: nn.Module, tokens: Tokens, tuning: TextTuningConfig) -> None:
        super().__init__()
        self.model, self.tuning = model, tuning
        self.register_buffer("token_ids", tokens.flat, persistent=False)
        self.register_buffer("token_offsets", tokens.offsets, persistent=False)
        self.register_load_state_dict_post_hook(_frozen_may_be_missing)  # type: ignore[no-untyped-call]

    @property
    def lengths(self) -> Tensor:
        """[items + 1] tokens of each item's text, 0 where it has none."""
        return self.token_offsets.diff()

    def forward(self, ids_N: Tensor) -> Tensor:
        """[N, W] fp32. Every item asked for has a text. Texts of about one length are encoded together: padded to the longest
        of 64 titles, more than half of what is multiplied would be padding."""
        order_N = self.lengths[ids_N].argsort(stable=True)
        sizes = [len(run) for run in _alike(self.lengths[ids_N][order_N].tolist())]
        parts = [self._encoded(part) for part in ids_N[order_N].split(sizes)]
        return torch.cat(parts).index_select(0, order_N.argsort())

    def _encoded(self, ids_N: Tensor) -> Tensor:
        """[N, W] fp32, padded to one rectangle."""
        ids_NL, mask_NL = self.padded(ids_N)
        states_NLW = self.model(input_ids=ids_NL, attention_mask=mask_NL.long()).last_hidden_state
        result: Tensor = functional.normalize(mean_states(states_NLW, mask_NL), dim=1)
        return result

    def padded(self, ids_N: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens [N, L], which of them there are). What pads is masked, so that an encoder without a pad token does too."""
        lengths_N = self.lengths[ids_N]
        place_1L = torch.arange(int(lengths_N.max()), device=ids_N.device).unsqueeze(0)
        mask_NL = place_1L < lengths_N.unsqueeze(1)
        index_NL = (self.token_offsets[ids_N].unsqueeze(1) + place_1L).masked_fill(~mask_NL, 0)
        return self.token_ids[index_NL].long().masked_fill(~mask_NL, 0), mask_NL

    def chosen(self, items_T: Tensor) -> Tensor:
        """At most `items_per_step` distinct items of those named that have a text, ascending, drawn from torch's default
        generator."""
        ids = torch.unique(items_T)
        ids = ids[self.lengths[ids] > 0]
        if len(ids) > self.tuning.items_per_step:
            kept = torch.randperm(len(ids))[: self.tuning.items_per_step].to(ids.device)
            kept_ids: Tensor = ids[kept].sort().values
            return kept_ids
        named: Tensor = ids
        return named

    def without_gradient(self, ids_N: Tensor) -> Tensor:
        """[N, W] fp32, a bounded number of tokens at a time."""
        lengths_N = self.lengths[ids_N]
        order_N = lengths_N.argsort(stable=True)
        config: Any = self.model.config
        width = int(config.hidden_size)
        result = torch.zeros(len(ids_N), width, device=ids_N.device)
        with torch.no_grad():
            for part in packed(lengths_N[order_N].tolist(), self.tuning.batch_tokens):
                places = order_N[part.start : part.stop]
                result[places] = self(ids_N[places])
        return result

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        whole: dict[str, Any] = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                whole.pop(prefix + name, None)
        return whole


def _frozen_may_be_missing(tower: TextTower, keys: Any) -> None:
    frozen = {name for name, parameter in tower.named_parameters() if not parameter.requires_grad}
    keys.missing_keys[:] = [key for key in keys.missing_keys if not any(key.endswith(name) for name in frozen)]


def _alike(lengths: list[int]) -> Iterator[range]:
    """Runs of rows, ascending by length, whose longest is at most half as long again as their shortest, eight rows at least."""
    start = 0
    for end, length in enumerate(lengths):
        if end - start >= FEW and 2 * length > 3 * lengths[start]:
            yield range(start, end)
            start = end
    yield range(start, len(lengths))
