"""Lists as rows of Arrow, inside executors."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c

OUTPUT: Final = pa.schema(
    [
        (c.USER, pa.int32()),
        (c.USER_ID, pa.string()),
        (c.ITEM, pa.int32()),
        (c.ITEM_ID, pa.string()),
        (c.RANK, pa.int32()),
        (c.SCORE, pa.float32()),
        (c.FALLBACK, pa.string()),
        (c.MOVED, pa.string()),
    ]
)
Ids = npt.NDArray[np.int64]


def list_rows(
    users: tuple[list[int], list[str]],
    ids: list[Ids],
    scores: list[npt.NDArray[np.float32]],
    notes: tuple[list[str | None], dict[tuple[int, int], str]],
    vocabulary: pa.StringArray,
) -> pa.RecordBatch:
    """OUTPUT of users (ids, raw ids) with the items of each and their scores. `notes`: why a list is a fallback, and what
    re-ranking moved, by (row of the user, item)."""
    lengths = [len(row) for row in ids]
    owner = np.repeat(np.arange(len(ids)), lengths)
    flat = np.concatenate(ids)
    ranks = np.arange(len(flat)) - np.repeat(np.cumsum([0, *lengths])[:-1], lengths) + 1
    reasons, moved = notes
    why = pa.array([moved.get(key) for key in zip(owner.tolist(), flat.tolist(), strict=True)] if moved else [], pa.string())
    columns = [
        pa.array(np.array(users[0], dtype=np.int32)[owner]),
        pa.array(np.array(users[1], dtype=object)[owner], pa.string()),
        pa.array(flat.astype(np.int32)),
        vocabulary.take(pa.array(flat - 1)),
        pa.array(ranks.astype(np.int32)),
        pa.array(np.concatenate(scores).astype(np.float32)),
        pa.array(np.array(reasons, dtype=object)[owner], pa.string()),
        why if moved else pa.nulls(len(flat), pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=OUTPUT)
