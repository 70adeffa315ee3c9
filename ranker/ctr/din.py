"""Attention of the item in question over the user's history (DIN, Zhou et al. 2018).

Shapes: B rows, T history items, d embedding width, X inputs, A actions.
"""

import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.config import CtrShapes, DinConfig
from nightrank.ranker.ctr.layers import Inputs, Mlp, place_of


class Din(nn.Module):
    def __init__(self, config: DinConfig, shapes: CtrShapes) -> None:
        super().__init__()
        self.softmax = config.softmax
        if shapes.history is None:
            raise ConfigError("din reads histories, and the impressions have none", "add them, or use dnn")
        self.place = place_of(shapes, shapes.history, "the history")
        self.inputs = Inputs(shapes, config.width)
        self.attention = Mlp(4 * config.width, config.attention)
        self.relevance = nn.Linear(self.attention.size, 1)
        self.deep = Mlp(self.inputs.size + config.width, config.hidden, config.dropout, config.batch_norm)
        self.head = nn.Linear(self.deep.size, len(shapes.labels))

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """[B, A] logits."""
        seen_BX = torch.cat([self.inputs(batch), self.interest(batch)], dim=1)
        logits_BA: Tensor = self.head(self.deep(seen_BX))
        return logits_BA

    def interest(self, batch: ImpressionBatch) -> Tensor:
        """[B, d]: the history's items, each by its weight beside the item in question; zeros for an empty history."""
        if batch.history_T is None or batch.offsets_B1 is None:
            raise DataContractError("din needs impressions with histories, and these have none", "add them, or use dnn")
        lengths_B = batch.offsets_B1[1:] - batch.offsets_B1[:-1]
        row_T = torch.repeat_interleave(torch.arange(batch.rows, device=lengths_B.device), lengths_B)
        past_Td = self.inputs.fields.of_field(self.place, batch.history_T)
        target_Bd = self.inputs.fields.of_field(self.place, batch.codes_BF[:, self.place])
        weight_T = self._weights(past_Td, target_Bd.index_select(0, row_T), row_T, batch.rows)
        return past_Td.new_zeros(batch.rows, past_Td.shape[1]).index_add(0, row_T, past_Td * weight_T.unsqueeze(1))

    def _weights(self, past_Td: Tensor, target_Td: Tensor, row_T: Tensor, rows: int) -> Tensor:
        both = torch.cat([target_Td, past_Td, target_Td - past_Td, target_Td * past_Td], dim=1)
        logit_T: Tensor = self.relevance(self.attention(both)).squeeze(1).float()
        if not self.softmax:
            return logit_T
        # Any constant a row leaves the softmax as it is, so its largest logit needs no gradient.
        most_B = logit_T.new_full((rows,), -torch.inf).scatter_reduce(0, row_T, logit_T.detach(), "amax")
        power_T = (logit_T - most_B.index_select(0, row_T)).exp()
        total_B = power_T.new_zeros(rows).index_add(0, row_T, power_T)
        return power_T / total_B.index_select(0, row_T)
