"""The features of a batch of users, inside executors: by the same look-ups as in training."""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from nightrank.feature_store.as_of import Cumulative
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.aggregates import counters_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.storage import local_folder, locate

DAILY: Final = "daily_"
"""Before the name of a column that holds a list a user or item: the days of its counts, and the counts of each counter."""


def tables_of(batch: pa.RecordBatch, features: Features, item_sums: str | None) -> Any:
    """FeatureTables of the batch's users (`nightrank.ranker.features`)."""
    # Imported here, so that the driver, which imports this module for its names, never loads torch.
    from nightrank.ranker.features import AttributeCodes, FeatureTables, coded

    users = batch.column(c.USER).to_numpy()
    codes = None
    if features.attributes:
        order = np.argsort(users)
        raw = coded(features, [dict(pairs or ()) for pairs in batch.column(c.ATTRIBUTES).to_pylist()])
        known_from = batch.column(c.KNOWN_FROM).fill_null(np.iinfo(np.int64).max).to_numpy()
        codes = AttributeCodes(users[order], raw[order], known_from[order])
    return FeatureTables(
        features=features,
        user=sums_of(batch, users, counters_of(features.user)) if features.user else None,
        item=_item_sums(item_sums, counters_of(features.item)) if item_sums is not None else None,
        attributes=codes,
    )


def sums_of(batch: pa.RecordBatch, of_rows: npt.NDArray[Any], counters: tuple[str, ...]) -> Cumulative:
    """The table in the lists of the rows; `of_rows` is each row's entity."""
    days = batch.column(DAILY + c.DAY)
    entities = np.repeat(of_rows, days.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    return _summed(entities, days.flatten(), [batch.column(DAILY + name).flatten() for name in counters])


@lru_cache(maxsize=1)
def _item_sums(folder: str, counters: tuple[str, ...]) -> Cumulative:
    table = pq.read_table(local_folder(locate(folder)))
    return _summed(table[c.ITEM].to_numpy(), table[c.DAY], [table[name] for name in counters])


def _summed(entities: npt.NDArray[Any], days: Any, counters: list[Any]) -> Cumulative:
    if any(column.null_count for column in counters):
        raise DataContractError(
            "the feature tables lack a counter that the model reads", "run stage build_features again, then this one"
        )
    return Cumulative.of_day_counts(entities, days.to_numpy(), [column.to_numpy() for column in counters])
