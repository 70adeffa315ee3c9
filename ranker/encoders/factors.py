"""Matrix factorisation: a vector for each user, whatever the order of the history.

Shapes: T tokens, B rows, L longest row, d width.
"""

import torch
from torch import Tensor, nn

from nightrank.ranker.batch import Batch
from nightrank.ranker.blocks.dropout import Dropout
from nightrank.ranker.blocks.padded_layout import PaddedLayout
from nightrank.ranker.config.encoders import FactorsConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.targets import Targets


class FactorsEncoder(UserEncoder):
    """Every token of a row has the state of its user: the user's own vector, or the history folded in for a user of no known
    vector (id 0, or beyond the table)."""

    def __init__(self, config: RankerConfig, users: int) -> None:
        super().__init__()
        assert isinstance(config.encoder, FactorsConfig)
        self.ridge = config.encoder.ridge
        self.users = nn.Embedding(users + 1, config.width)
        self.dropout = Dropout(config.encoder.dropout)

    def forward(self, vectors_Td: Tensor, batch: Batch) -> Tensor:
        if batch.tokens == 0:
            return vectors_Td
        known_B = (batch.users_B > 0) & (batch.users_B < self.users.num_embeddings)
        user_Bd = self.dropout(self.users(batch.users_B.where(known_B, 0)))
        if not bool(known_B.all()):
            user_Bd = torch.where(known_B.unsqueeze(1), user_Bd, fold_in(vectors_Td, batch, self.ridge).to(user_Bd.dtype))
        result: Tensor = user_Bd.index_select(0, batch.row_T)
        return result

    def targets(self, batch: Batch) -> Targets:
        """Every position in [loss_from, n), and a history's first event too where its loss begins right after it."""
        row_T = batch.row_T
        from_B = torch.where(batch.loss_from_B <= 1, 0, batch.loss_from_B)
        wanted_T = batch.position_T >= from_B[row_T]
        return Targets(batch, wanted_T.nonzero().flatten(), batch.items_T[wanted_T], batch.weight_B[row_T][wanted_T])


def fold_in(vectors_Td: Tensor, batch: Batch, ridge: float) -> Tensor:
    """[B, d]: argmin_u sum over the row's tokens of (u . v - 1)^2 + ridge |u|^2; zeros for a row without tokens."""
    layout = PaddedLayout.of(batch.offsets_B1)
    vectors_BLd = layout.pack(vectors_Td.detach().float())
    # The dual form solves L x L systems, and a history is shorter than a vector is wide.
    gram_BLL = vectors_BLd @ vectors_BLd.transpose(1, 2)
    gram_BLL.diagonal(dim1=1, dim2=2).add_(ridge)
    ones_BL1 = layout.pack(torch.ones(batch.tokens, 1, device=vectors_Td.device))
    duals_BL1 = torch.linalg.solve(gram_BLL, ones_BL1)
    result: Tensor = (vectors_BLd * duals_BL1).sum(1)
    return result
