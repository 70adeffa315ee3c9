"""The compiled reader of training rows, called by itself: arrays that do not fit, and what a file does not have."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from nightrank.trainer.data.arrow_rows import ROW_COLUMNS
from nightrank.trainer.data.compiled import footer, read_rows, shape
from tests.snapshots import examples_table, random_examples


@pytest.fixture
def fitting(tmp_path):
    """(path, footer, arrays) of a file with one row group."""
    path = tmp_path / "file.parquet"
    pq.write_table(examples_table(random_examples(10, 50), "train"), path)
    found = footer(str(path))
    rows, tokens = shape(found, 0, "items")
    kinds = [*[np.int32] * 3, np.float32, np.int32, np.int32, np.int8, np.int64]
    sizes = [rows] * 4 + [rows + 1] + [tokens] * 3
    return str(path), found, [np.empty(size, kind) for size, kind in zip(sizes, kinds, strict=True)]


@pytest.mark.parametrize("short", [1, 2, 3, 4, 6, 7])
def test_arrays_that_do_not_fit_each_other_are_refused(fitting, short):
    path, found, arrays = fitting
    arrays[short] = arrays[short][:-1]
    with pytest.raises(ValueError, match="of different sizes"):
        read_rows(found, path, 0, ROW_COLUMNS, tuple(arrays))


@pytest.mark.parametrize("fewer", [range(5), range(5, 8)], ids=["rows", "tokens"])
def test_a_row_group_of_another_size_is_not_read(fitting, fewer):
    path, found, arrays = fitting
    assert read_rows(found, path, 0, ROW_COLUMNS, tuple(arrays))
    cut = [array[:-1] if at in fewer else array for at, array in enumerate(arrays)]
    assert not read_rows(found, path, 0, ROW_COLUMNS, tuple(cut))


def test_what_a_file_does_not_have_has_no_shape(fitting):
    path, found, arrays = fitting
    assert shape(found, 1, "items") is None and shape(found, -1, "items") is None and shape(found, 0, "nothing") is None
    assert not read_rows(found, path, 0, (*ROW_COLUMNS[:-1], "nothing"), tuple(arrays))
    with pytest.raises(OSError, match=r"row group -?1"):
        read_rows(found, path, 1, ROW_COLUMNS, tuple(arrays))
    with pytest.raises(ValueError, match=r"PyCapsule"):
        shape(object(), 0, "items")
