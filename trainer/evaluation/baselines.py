"""Baselines' lists from the table `baseline_lists`, read without a JVM: Delta's log names the files, Arrow reads them."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.trainer.evaluation.recommenders import ListRecommender

KNOWN: Final = ("popular_7d", "als", "item_cooccurrence")
SPARE: Final = 40
"""Stored places read beyond the longest list asked for, in case a list names items that a row has seen."""


def load_baselines(root: Location, split: str, k: int, version: int | None = None) -> dict[str, ListRecommender]:
    """The recommenders that have lists for the split, at the table's version (None: the newest). Empty without the table."""
    lake, name = Lake(root), tables.BASELINE_LISTS.name
    table = delta_read.newest(lake, name)
    if table is None:
        return {}
    if version not in (None, table.version()):
        table = delta_read.open_table(lake, name, version)
    scan = delta_read.dataset(lake, name, delta_read.file_paths(table), tables.BASELINE_LISTS.schema)
    return {recommender: found for recommender in KNOWN if (found := _lists(scan, recommender, split, k + SPARE)) is not None}


def _lists(scan: ds.Dataset, recommender: str, split: str, width: int) -> ListRecommender | None:
    wanted = (ds.field(c.RECOMMENDER) == recommender) & (ds.field(c.SPLIT) == split)
    users, rows = [], []
    for batch in scan.to_batches(columns=[c.USER, c.ITEMS], filter=wanted):
        users.append(batch.column(c.USER).to_numpy().astype(np.int64))
        rows.append(_padded(batch.column(c.ITEMS), width))
    if not sum(map(len, users)):
        return None
    all_users, lists = np.concatenate(users), np.concatenate(rows)
    order = np.argsort(all_users, kind="stable")
    if len(np.unique(all_users)) != len(all_users):
        raise DataContractError(
            f"baseline_lists holds two lists of {recommender} for one user", "run stage score_baselines again"
        )
    return ListRecommender(all_users[order], lists[order])


def _padded(lists: pa.Array, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.int32]]:
    cut = pc.list_slice(lists, 0, width)
    lengths = pc.list_value_length(cut).to_numpy(zero_copy_only=False)
    result = np.zeros((len(cut), width), np.int32)
    result[np.arange(width) < lengths[:, None]] = cut.flatten().to_numpy(zero_copy_only=False)
    return result
