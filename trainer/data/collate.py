"""From rows to `ranker.batch.Batch`: one gather of tokens, whatever the number of rows."""

import numpy as np
import torch

from ranker.batch import Batch
from trainer.data.rows import Array, Rows, offsets_of, token_index


def batch_of(rows: Rows) -> Batch:
    """The rows as flat int64 tensors that share no memory with the files' buffers."""
    index = token_index(rows.starts, rows.lengths)
    return Batch(
        items_T=_tokens(rows.items, index),
        actions_T=_tokens(rows.actions, index),
        times_T=_tokens(rows.times, index),
        offsets_B1=torch.from_numpy(offsets_of(rows.lengths)),
        loss_from_B=_column(rows.loss_from, np.int64),
        weight_B=_column(rows.weight, np.float32),
        users_B=_column(rows.users, np.int64),
    )


def _tokens(values: Array, index: Array) -> torch.Tensor:
    return torch.from_numpy(values.take(index).astype(np.int64, copy=False))


def _column(values: Array, kind: type[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values.astype(kind, copy=True))
