"""Rows of user_days and item_days from running sums."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from nightrank.feature_store.as_of import Cumulative
from nightrank.feature_store.contracts import schemas


def day_rows(table: Cumulative, key: str, names: Sequence[str]) -> pa.Table:
    """What was counted each day. A counter that is not named is null, which Spark leaves in no table."""
    before = np.vstack([np.zeros((1, table.sums.shape[1]), table.sums.dtype), table.sums[:-1]])
    before[np.append(True, table.entities[1:] != table.entities[:-1])] = 0
    columns = {key: table.entities, "day": table.days, **dict(zip(names, (table.sums - before).T, strict=True))}
    schema, empty = schemas.USER_DAYS if key == "user" else schemas.ITEM_DAYS, pa.nulls(len(table.keys), pa.int32())
    return pa.table({field.name: pa.array(columns.get(field.name, empty)) for field in schema}, schema=schema)
