"""What a training step asks of a batch: which states are held against which items.

Shapes: T input tokens, S targets.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nightrank.ranker.batch import Batch


@dataclass(frozen=True)
class Targets:
    inputs: Batch
    """What the encoder reads."""
    state_S: Tensor
    """Index of the predicting token in `inputs`."""
    item_S: Tensor
    weight_S: Tensor


def next_items(batch: Batch, first: bool = False) -> Targets:
    """Position p of a row, p in [max(1, loss_from), n), is predicted from the state of token p - 1.

    With `first` position 0 is asked for too, where the loss begins at 1 or before, from the state after the last token of
    `inputs`: the one of a user of whom nothing is known.
    """
    position_T, row_T = batch.position_T, batch.row_T
    loss_from_T = batch.loss_from_B[row_T]
    wanted_T = (position_T >= loss_from_T.clamp_min(1)) | ((position_T == 0) & (loss_from_T <= 1) & first)
    inputs = batch.without_last()
    # A row's tokens keep their place in `inputs`, so its token p - 1 is at the row's new offset plus p - 1.
    before_T = inputs.offsets_B1[:-1][row_T] + position_T - 1
    state_S = torch.where(position_T > 0, before_T, inputs.tokens)[wanted_T]
    return Targets(inputs, state_S, batch.items_T[wanted_T], batch.weight_B[row_T][wanted_T])
