"""Dense batches on real files: the plan's rows, each once, with their own values."""

import threading

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.conformance import files_of, row_groups_of
from nightrank.trainer.data.dense import DenseReader
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.data.sources import Tables
from nightrank.trainer.data.stream import Planned
from tests.snapshots import write_part

GROUPS = [[13, 7], [20], [1, 19, 5], [], [11, 9], [15]]
ROWS = sum(map(sum, GROUPS))
COLUMNS = ("number", "half", "square")


def table(**changed):
    number = np.arange(ROWS)
    columns = {"number": number.astype(np.float32), "half": number / 2, "square": number**2}
    return pa.table({**columns, **changed})


def planned(root, part, rank=0, world=1, batch_rows=8, epoch=0, reader="arrow"):
    plan = ReadPlan(row_groups_of(part), seed=3, epoch=epoch, world_size=world, batch_rows=batch_rows)
    return Planned(files_of(part, root), plan, rank, Tables(COLUMNS), reader, 2, "table clicks")


@pytest.fixture
def part(tmp_path):
    return write_part(tmp_path, "ctr", table(), GROUPS)


@pytest.mark.parametrize("batch_rows", [1, 8, 64, 500])
@pytest.mark.parametrize("world", [1, 3])
def test_every_row_once_over_all_ranks_with_its_own_values(tmp_path, part, world, batch_rows):
    seen, steps = [], set()
    for rank in range(world):
        reader = DenseReader(planned(tmp_path, part, rank, world, batch_rows))
        batches = list(reader)
        assert len(batches) == len(reader)
        assert {batch.dtype for batch in batches} == {torch.float32}
        assert max(map(len, batches)) <= batch_rows
        steps.add(len(batches))
        for number, half, square in torch.cat(batches).tolist():
            assert (half, square) == (number / 2, number**2)
            seen.append(int(number))
        assert reader.rows_read == sum(map(len, batches))
    assert sorted(seen) == list(range(ROWS))
    assert len(steps) == 1


def test_the_order_is_the_plans_and_another_one_each_epoch(tmp_path, part):
    first = planned(tmp_path, part)
    starts = np.cumsum([0, *row_groups_of(part)])
    wanted = [int(starts[s.group] + row) for s in first.plan.segments(0) for row in first.plan.row_order(s)]
    numbers = [int(value) for batch in DenseReader(first) for value in batch[:, 0]]
    assert numbers == wanted
    assert numbers != sorted(numbers)
    assert numbers != [int(value) for batch in DenseReader(planned(tmp_path, part, epoch=1)) for value in batch[:, 0]]


@pytest.mark.parametrize("step", [0, 1, 5, 12, 13])
def test_resume_is_the_suffix_with_either_reader(tmp_path, part, step):
    whole = [batch.tolist() for batch in DenseReader(planned(tmp_path, part))]
    for name in ("petastorm", "arrow"):
        assert [batch.tolist() for batch in DenseReader(planned(tmp_path, part, reader=name), step)] == whole[step:]


def test_more_ranks_than_rows_take_equally_many_steps(tmp_path):
    part = write_part(tmp_path, "ctr", table().slice(0, 2), [[2]])
    assert [[len(b) for b in DenseReader(planned(tmp_path, part, rank, 3))] for rank in range(3)] == [[0], [1], [1]]


def test_left_early_it_leaves_no_thread(tmp_path, part):
    before = threading.active_count()
    batches = iter(DenseReader(planned(tmp_path, part)))
    next(batches)
    batches.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None, *range(ROWS - 1)], r"table clicks: row group \d+, column half holds 1 nulls"),
        (["a"] * ROWS, r"table clicks: row group \d+, column half is string, not a number"),
    ],
)
def test_what_is_no_number_is_refused_by_name(tmp_path, values, message):
    part = write_part(tmp_path, "ctr", table(half=values), GROUPS)
    with pytest.raises(DataContractError, match=message):
        list(DenseReader(planned(tmp_path, part)))
