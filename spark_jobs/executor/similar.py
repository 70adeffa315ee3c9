"""Items like items by the ranker's own vectors, inside executors: the bundle's matrix is opened once per Python worker.

Shapes: I1 = items + 1, B items of a batch.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from nightrank.feature_store.contracts import columns as c
from nightrank.spark_jobs.executor.rerank import unit_vectors_of
from nightrank.spark_jobs.executor.score import open_scorer
from nightrank.spark_jobs.executor.topk import nearest

NEIGHBOUR: Final = "neighbour"
OUTPUT: Final = pa.schema([(c.ITEM, pa.int32()), (NEIGHBOUR, pa.int32()), (c.COSINE, pa.float32())])
Batches = Iterable[pa.RecordBatch]


class SimilarRules(NamedTuple):
    bundle: str
    manifest: str
    items: int
    """Highest item id that the model knows."""
    length: int


def similar_maker(rules: SimilarRules) -> Callable[[Batches], Batches]:
    """A mapInArrow function: `item` in, its nearest other items by cosine out, equal ones by id."""

    def similar(batches: Batches) -> Batches:
        vectors_ID = unit_vectors_of(open_scorer(rules.bundle, rules.manifest).item_matrix)[: rules.items + 1]
        for batch in batches:
            items = batch.column(c.ITEM).to_numpy()
            for some, ids, values in nearest(vectors_ID, items[items <= rules.items], rules.length):
                there = values > -np.inf
                owner = np.repeat(some.astype(np.int32), there.sum(axis=1))
                columns = [pa.array(owner), pa.array(ids[there].astype(np.int32)), pa.array(values[there])]
                yield pa.RecordBatch.from_arrays(columns, schema=OUTPUT)

    return similar
