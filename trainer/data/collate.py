"""Rows as they are, as `nightrank.ranker.batch.Batch`."""

from collections.abc import Sequence

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


def joined(batches: Sequence[Batch]) -> Batch:
    """The rows of all, one batch behind the other; nothing is known beside their tokens yet."""
    if len(batches) == 1:
        return batches[0]
    ends = [torch.zeros(1, dtype=torch.int64)]
    for batch in batches:
        ends.append(ends[-1][-1] + batch.offsets_B1[1:])
    return Batch(
        items_T=torch.cat([batch.items_T for batch in batches]),
        actions_T=torch.cat([batch.actions_T for batch in batches]),
        times_T=torch.cat([batch.times_T for batch in batches]),
        offsets_B1=torch.cat(ends),
        loss_from_B=torch.cat([batch.loss_from_B for batch in batches]),
        weight_B=torch.cat([batch.weight_B for batch in batches]),
        users_B=torch.cat([batch.users_B for batch in batches]),
    )


def _copied(values: Array, kind: type[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values.astype(kind, copy=True))
