"""Rows as they are, as `nightrank.ranker.batch.Batch`."""

import numpy as np
import torch

from nightrank.ranker.batch import Batch
from nightrank.trainer.data.rows import Array, Rows


def batch_of(rows: Rows, first: int = 0, last: int | None = None) -> Batch:
    """Rows [first, last) in order, as flat int64 tensors that share no memory with the files' buffers."""
    heads = rows.heads[first : len(rows) + 1 if last is None else last + 1]
    begin, end = int(heads["offset"][0]), int(heads["offset"][-1])
    items, actions, times = (_copied(values[begin:end], np.int64) for values in rows.tokens)
    columns = heads[:-1]
    return Batch(
        items_T=items,
        actions_T=actions,
        times_T=times,
        offsets_B1=_copied(heads["offset"] - begin, np.int64),
        loss_from_B=_copied(columns["loss_from"], np.int64),
        weight_B=_copied(columns["weight"], np.float32),
        users_B=_copied(columns["user"], np.int64),
    )


def _copied(values: Array, kind: type[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values.astype(kind, copy=True))
