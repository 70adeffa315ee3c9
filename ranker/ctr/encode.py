"""Rows as they come, raw values in columns, as a batch. Shapes: B rows, F fields, D numbers, A actions, T history items."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from nightrank.feature_store.contracts import columns as c
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.codes import FieldCodes, column_of
from nightrank.ranker.ctr.compose import CtrRanker


def encoded(table: pa.Table, ranker: CtrRanker, codes: FieldCodes) -> ImpressionBatch:
    """The table's rows without labels; unknown values are code 0, a missing number is NaN, unknown history items are left out.

    DataContractError names a field, number or history that the table does not have.
    """
    shapes = ranker.shapes
    numbers = [_numbers(table, number.name) for number in shapes.numeric]
    numeric_BD = np.stack(numbers, axis=1) if numbers else np.zeros((table.num_rows, 0), np.float32)
    history, offsets = _history(table, ranker, codes)
    return ImpressionBatch(
        codes_BF=torch.from_numpy(codes.encode(table)),
        numeric_BD=torch.from_numpy(numeric_BD),
        labels_BA=torch.full((table.num_rows, len(shapes.labels)), torch.nan),
        weight_B=torch.ones(table.num_rows),
        history_T=history,
        offsets_B1=offsets,
    )


def _numbers(table: pa.Table, name: str) -> npt.NDArray[np.float32]:
    values = column_of(table, name, "number").cast(pa.float32()).to_numpy()
    result: npt.NDArray[np.float32] = np.asarray(values, np.float32)
    return result


def _history(table: pa.Table, ranker: CtrRanker, codes: FieldCodes) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Codes of the histories' known items and where each row's begin; (None, None) for a ranker that does not read them."""
    field = ranker.shapes.history
    if field is None or not ranker.config.reads_history:
        return None, None
    lists = column_of(table, c.HISTORY, "column").cast(pa.list_(pa.string())).combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    found = pc.index_in(pc.list_flatten(lists), value_set=codes.values[field])
    known = pc.is_valid(found).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(lengths)), lengths)[known]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(lengths)))]).astype(np.int64)
    history = pc.drop_null(found).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    return torch.from_numpy(history), torch.from_numpy(offsets)
