"""Rows with their inputs into a click ranker's probabilities, inside executors: the bundle is opened once per Python worker."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.storage import local_folder, locate

KEPT: Final = (c.USER_ID, c.ITEM_ID, c.RANK, c.LIST_ID, c.RELEASE_ID)
OUTPUT: Final = pa.schema(
    [
        (c.USER_ID, pa.string()),
        (c.ITEM_ID, pa.string()),
        (c.RANK, pa.int32()),
        (c.LIST_ID, pa.string()),
        (c.RELEASE_ID, pa.string()),
        (c.SCORES, pa.map_(pa.string(), pa.float64())),
    ]
)
ROWS_AT_ONCE: Final = 8192
Batches = Iterable[pa.RecordBatch]


class CtrRules(NamedTuple):
    """`bundle` is a folder every executor can read; `fields` and `numeric` name the places of the lists of those names."""

    bundle: str
    manifest: str
    fields: tuple[str, ...]
    numeric: tuple[str, ...]


def ctr_scorer(rules: CtrRules) -> Callable[[Batches], Batches]:
    """A mapInArrow function: rows with KEPT, `fields`, `numeric` and `history` in, OUTPUT out."""

    def score(batches: Batches) -> Batches:
        for batch in batches:
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                yield _scored(batch.slice(start, ROWS_AT_ONCE), rules)

    return score


@lru_cache(maxsize=1)
def open_bundle(folder: str, manifest: str) -> Any:
    """The bundle, once per worker and model. Each task has one core, so torch takes one thread."""
    # Imported here, so that the driver, which imports this module for its names, never loads torch.
    import torch

    from nightrank.ranker.ctr.bundle import load_ctr_bundle

    torch.set_num_threads(1)
    return load_ctr_bundle(local_folder(locate(folder)), manifest)


def _scored(batch: pa.RecordBatch, rules: CtrRules) -> pa.RecordBatch:
    bundle = open_bundle(rules.bundle, rules.manifest)
    columns = {**_places(batch, c.FIELDS, rules.fields), **_places(batch, c.NUMERIC, rules.numeric)}
    table = pa.table({**columns, c.HISTORY: batch.column(c.HISTORY)})
    scores_BA: npt.NDArray[np.float64] = bundle.predict(table).double().numpy()
    labels = bundle.ranker.shapes.labels
    offsets = pa.array(np.arange(len(scores_BA) + 1, dtype=np.int32) * len(labels))
    names = pa.array(np.tile(np.array(labels, dtype=object), len(scores_BA)), pa.string())
    scores = pa.MapArray.from_arrays(offsets, names, pa.array(scores_BA.ravel()))
    kept = [batch.column(name) for name in KEPT]
    return pa.RecordBatch.from_arrays([*kept, scores], schema=OUTPUT)


def _places(batch: pa.RecordBatch, column: str, names: tuple[str, ...]) -> dict[str, pa.Array]:
    """Each place of a column of equally long lists as a column of its own."""
    values = batch.column(column).flatten()
    index = np.arange(batch.num_rows) * len(names)
    return {name: values.take(pa.array(index + place)) for place, name in enumerate(names)}
