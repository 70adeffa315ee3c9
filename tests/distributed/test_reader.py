"""Both readers on real files, held to one contract: the same batches, nothing lost in hundreds of epochs, resume exact, faults
named, no thread left behind."""

import threading
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.trainer.data import stream
from nightrank.trainer.data.conformance import files_of, row_groups_of
from nightrank.trainer.data.epoch import EpochReader, make_plan
from nightrank.trainer.data.readers import row_group_reader
from nightrank.trainer.data.sources import Tables
from nightrank.trainer.data.training_rows import TrainingRows
from tests.snapshots import examples_table, make_snapshot, random_examples, write_part

GROUPS = [[13, 7], [20], [1, 19, 5], [11, 9], [15]]
ROWS = sum(map(sum, GROUPS))
EPOCHS = 150
READERS = ("petastorm", "arrow")


@pytest.fixture(params=READERS)
def name(request):
    return request.param


@pytest.fixture
def lake(tmp_path):
    rows = examples_table(random_examples(ROWS, 300, seed=4), "train")
    part = write_part(tmp_path, "examples_train", rows, GROUPS)
    return tmp_path, make_snapshot({"train": part}, items=300)


def reader_of(lake, name, rank=0, world=1, epoch=0, **fields):
    root, snapshot = lake
    plan = make_plan(snapshot, "train", seed=3, epoch=epoch, world_size=world, batch_rows=8, window_rows=24)
    return EpochReader(snapshot, root, "train", plan, rank, reader=name, **fields)


def fetched(lake, name, plan, workers=2, columns=("user",)):
    root, snapshot = lake
    return row_group_reader(name)(files_of(snapshot.parts["train"], root), plan, Tables(columns), workers)


def path_of(lake, number):
    return lake[0] / "tables" / "examples_train" / f"part-{number:05d}.parquet"


def users(batches):
    return [user for batch in batches for user in batch.users_B.tolist()]


def bytes_of(batch):
    assert batch.time_to_next_event_B is None, "a batch as it is read says nothing of what it is asked for"
    return {name: (str(t.dtype), t.numpy().tobytes()) for name, t in vars(batch).items() if t is not None}


def same(left, right):
    return len(left) == len(right) and all(bytes_of(a) == bytes_of(b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_both_readers_give_the_same_batches_byte_for_byte(lake, world):
    for rank in range(world):
        for epoch in range(3):
            first, second = (list(reader_of(lake, name, rank, world, epoch)) for name in READERS)
            assert first
            assert same(first, second)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_once_over_all_ranks_with_its_own_values_in_equally_many_steps(lake, name, world):
    examples = {example.user: list(example.items) for example in random_examples(ROWS, 300, seed=4)}
    seen, steps = [], set()
    for rank in range(world):
        reader = reader_of(lake, name, rank, world)
        batches = list(reader)
        assert len(batches) == len(reader)
        assert reader.rows_read == sum(batch.rows for batch in batches)
        steps.add(len(batches))
        for batch in batches:
            bounds = batch.offsets_B1.tolist()
            for b, user in enumerate(batch.users_B.tolist()):
                assert batch.items_T[bounds[b] : bounds[b + 1]].tolist() == examples[user]
                seen.append(user)
    assert sorted(seen) == list(range(1, ROWS + 1))
    assert len(steps) == 1


@pytest.mark.parametrize("workers", [1, 2, 10])
def test_order_does_not_depend_on_threads_and_nothing_is_lost_in_many_epochs(lake, name, workers):
    for epoch in range(EPOCHS):
        read = users(reader_of(lake, name, epoch=epoch, workers=workers))
        assert sorted(read) == list(range(1, ROWS + 1)), f"epoch {epoch}"
        if epoch % 30 == 0:
            assert read == users(reader_of(lake, name, epoch=epoch, workers=3))


def test_row_groups_come_in_the_order_asked_for(lake, name):
    plan = [6, 0, 3, 8, 1]
    starts = np.cumsum([0, *row_groups_of(lake[1].parts["train"])])
    for workers in (1, 2, 10):
        tables = list(fetched(lake, name, plan, workers))
        assert [table["user"][0].as_py() for table in tables] == [int(starts[i]) + 1 for i in plan]
        assert {tuple(table.column_names) for table in tables} == {("user",)}


@pytest.mark.parametrize("step", [0, 1, 5, 8, 12, 13])
def test_resume_is_the_suffix_with_either_reader(lake, name, step):
    whole = list(reader_of(lake, name))
    for other in READERS:
        assert same(list(reader_of(lake, other, start_step=step)), whole[step:])


def test_a_reader_can_be_left_in_mid_epoch_without_leaving_threads(lake, name):
    before = set(threading.enumerate())
    for _ in range(20):
        iterator = iter(reader_of(lake, name, workers=4))
        next(iterator)
        iterator.close()
    wait_until(lambda: set(threading.enumerate()) <= before)


def wait_until(holds, seconds=5.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"still there: {[thread.name for thread in threading.enumerate()]}"
        time.sleep(0.01)


class Counted:
    """A source that keeps what was read of it."""

    def __init__(self, source):
        self.source, self.columns, self.groups = source, source.columns, []

    def read(self, path, group):
        self.groups.append(group)
        return self.source.read(path, group)


@pytest.mark.parametrize("source", [Tables(["user"]), TrainingRows()], ids=["tables", "rows"])
def test_no_more_than_a_few_row_groups_are_read_ahead(tmp_path, name, source):
    part = write_part(tmp_path, "examples_train", examples_table(random_examples(120, 9), "train"), [[3] * 20, [3] * 20])
    counted = Counted(source)
    row_groups = row_group_reader(name)(files_of(part, tmp_path), list(range(40)), counted, 2)
    assert len(next(row_groups)) == 3
    time.sleep(0.3)
    assert 1 <= len(counted.groups) <= 2 * 2 + 1, "two workers, each reading one and having one to give, and the one taken"
    assert [len(rows) for rows in row_groups] == [3] * 39
    assert len(counted.groups) == 40


def test_a_part_without_rows_gives_no_batch(tmp_path, name):
    nothing = examples_table([], "train")
    for groups in ([], [[]], [[], []]):
        part = write_part(tmp_path, "examples_train", nothing, groups)
        lake = tmp_path, make_snapshot({"train": part}, items=9)
        assert list(reader_of(lake, name)) == []
        assert list(fetched(lake, name, [])) == []


def test_a_file_without_a_row_group_among_others_is_passed_over(tmp_path, name):
    part = write_part(tmp_path, "examples_train", examples_table(random_examples(12, 9), "train"), [[5], [], [4, 3]])
    assert sorted(users(reader_of((tmp_path, make_snapshot({"train": part}, items=9)), name))) == list(range(1, 13))


def test_a_truncated_file_is_named(lake, name):
    path = path_of(lake, 2)
    reader = reader_of(lake, name)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataContractError, match=r"part-00002\.parquet is missing or incomplete"):
        list(reader)
    with pytest.raises(DataContractError, match=r"part-00002\.parquet has \d+ bytes, the snapshot says"):
        reader_of(lake, name)


def test_a_missing_file_is_named(lake, name):
    reader = reader_of(lake, name)
    path_of(lake, 1).unlink()
    with pytest.raises(DataContractError, match=r"part-00001\.parquet is missing or incomplete"):
        list(reader)
    with pytest.raises(DataContractError, match=r"part-00001\.parquet is missing"):
        reader_of(lake, name)


def test_a_file_that_goes_bad_after_the_check_is_named(lake, name):
    """Same size, so only the reading itself can notice."""
    reader = reader_of(lake, name)
    path = path_of(lake, 3)
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(DataContractError, match=r"part-00003\.parquet is missing or incomplete"):
        list(reader)


def test_damaged_pages_are_named_and_leave_no_threads(lake, name):
    """The footer is whole, the data is not: the fault is raised in a worker thread and surfaces here."""
    before = set(threading.enumerate())
    reader = reader_of(lake, name)
    path = path_of(lake, 3)
    body = bytearray(path.read_bytes())
    body[4:200] = b"\xff" * 196
    path.write_bytes(body)
    with pytest.raises(DataContractError, match=r"part-00003\.parquet"):
        list(reader)
    wait_until(lambda: set(threading.enumerate()) <= before)


@pytest.mark.parametrize("source", [Tables(["user"]), TrainingRows()], ids=["tables", "rows"])
def test_a_row_group_that_the_file_does_not_have_is_named(lake, name, source):
    root, snapshot = lake
    files = files_of(snapshot.parts["train"], root)
    pretended = [(path, groups + (number == 1)) for number, (path, groups) in enumerate(files)]
    with pytest.raises(DataContractError, match=r"part-00001\.parquet has no row group 1"):
        list(row_group_reader(name)(pretended, [0, 1, 3], source, 2))


def test_any_fault_in_a_worker_thread_surfaces(lake, name, monkeypatch):
    def fails(*_, **__):
        raise ZeroDivisionError("in the thread")

    monkeypatch.setattr(TrainingRows, "read", fails)
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        list(reader_of(lake, name, workers=2))


def instead(monkeypatch, changed):
    """The epoch's reader gives what `changed` makes of the tables."""
    stock = stream.row_group_reader

    def wrapped(name):
        read = stock(name)

        def read_changed(*arguments):
            yield from changed(read(*arguments))

        return read_changed

    monkeypatch.setattr(stream, "row_group_reader", wrapped)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda tables: tables[1:], r"row group \d+ has \d+ rows, the plan says \d+"),
        (lambda tables: tables[:-1], "the reader gave 8 of 9 row groups|the row groups ended before the last window"),
        (lambda tables: [*tables, tables[-1]], "the reader gave more row groups than the 9 of the plan"),
    ],
    ids=["first lost", "last lost", "one too many"],
)
def test_a_lost_or_repeated_row_group_is_noticed_and_the_snapshot_named(lake, name, monkeypatch, changed, message):
    instead(monkeypatch, lambda tables: changed(list(tables)))
    with pytest.raises(DataContractError, match=rf"snapshot {lake[1].id[:12]}, part train, epoch 0, rank 0: ({message})"):
        list(reader_of(lake, name))


def test_drifted_and_missing_columns_are_named(tmp_path, name):
    rows = examples_table(random_examples(10, 9), "train")
    drifted = rows.set_column(0, "user", rows["user"].cast(pa.float64()))
    for table, message in ((drifted, "column user is double, not int32"), (rows.drop(["times"]), "has no column times")):
        part = write_part(tmp_path, "examples_train", table, [[10]])
        with pytest.raises(DataContractError, match=message):
            reader_of((tmp_path, make_snapshot({"train": part}, items=9)), name)


def test_other_row_groups_than_pinned_are_refused(lake, name):
    part = lake[1].parts["train"]
    files = (part.files[0].model_copy(update={"row_groups": (10, 10)}), *part.files[1:])
    wrong = lake[1].model_copy(update={"parts": {"train": part.model_copy(update={"files": files})}})
    with pytest.raises(DataContractError, match=r"has row groups \(13, 7\), the snapshot says \(10, 10\)"):
        reader_of((lake[0], wrong), name)
    with pytest.raises(ConfigError, match="other row groups"):
        replace(reader_of(lake, name), snapshot=wrong)


def test_an_item_outside_the_vocabulary_is_refused(lake, name):
    root, snapshot = lake
    with pytest.raises(DataContractError, match=r"item ids span \d+\.\.\d+, the vocabulary has 1..200"):
        list(reader_of((root, snapshot.model_copy(update={"items": 200})), name))


@pytest.mark.parametrize(("group", "window"), [(700, 48), (7, 96), (100, 150)])
def test_windows_and_row_groups_of_any_size_go_together(tmp_path, name, group, window):
    """Far smaller windows than row groups, far larger ones, and about as large: what is kept between them is neither lost nor
    given twice, and a row keeps its own tokens."""
    examples = random_examples(2100, 50)
    part = write_part(tmp_path, "examples_train", examples_table(examples, "train"), [[group] * (2100 // group)])
    snapshot = make_snapshot({"train": part}, items=50)
    plan = make_plan(snapshot, "train", seed=1, epoch=0, world_size=1, batch_rows=16, window_rows=window)
    read = {}
    for batch in EpochReader(snapshot, tmp_path, "train", plan, 0, reader=name):
        for user, tokens in zip(batch.users_B.tolist(), torch.split(batch.items_T, batch.lengths.tolist()), strict=True):
            read[user] = tokens.tolist()
    assert read == {example.user: list(example.items) for example in examples}
