"""The reader on real files: nothing lost in hundreds of epochs, resume exact, faults named. The stock pool's loss beside it."""

import threading
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from feature_store.contracts.errors import ConfigError, DataContractError
from tests.snapshots import examples_table, make_snapshot, random_examples, write_part
from trainer.data import petastorm_reader
from trainer.data.conformance import row_groups_of
from trainer.data.epoch import EpochReader, iter_part, make_plan
from trainer.data.petastorm_reader import read_row_groups

GROUPS = [[13, 7], [20], [1, 19, 5], [11, 9], [15]]
ROWS = sum(map(sum, GROUPS))
STOCK_EPOCHS = 1000
OUR_EPOCHS = 150


@pytest.fixture
def lake(tmp_path):
    rows = examples_table(random_examples(ROWS, 300, seed=4), "train")
    part = write_part(tmp_path, "examples_train", rows, GROUPS)
    return tmp_path, make_snapshot({"train": part}, items=300)


def reader_of(lake, rank=0, world=1, epoch=0, **fields):
    root, snapshot = lake
    plan = make_plan(snapshot, "train", seed=3, epoch=epoch, world_size=world, batch_rows=8, window_rows=24)
    return EpochReader(snapshot, root, "train", plan, rank, **fields)


def users(batches):
    return [user for batch in batches for user in batch.users_B.tolist()]


def same(left, right):
    assert all(batch.wait_B is None for batch in [*left, *right]), "a batch as it is read says nothing of what it is asked for"
    names = [name for name in vars(left[0]) if name != "wait_B"] if left else []
    return len(left) == len(right) and all(
        torch.equal(getattr(a, name), getattr(b, name)) for a, b in zip(left, right, strict=True) for name in names
    )


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_once_over_all_ranks_with_its_own_values(lake, world):
    examples = {example.user: list(example.items) for example in random_examples(ROWS, 300, seed=4)}
    seen = []
    for rank in range(world):
        reader = reader_of(lake, rank, world)
        batches = list(reader)
        assert len(batches) == len(reader)
        assert reader.rows_read == sum(batch.rows for batch in batches)
        for batch in batches:
            bounds = batch.offsets_B1.tolist()
            for b, user in enumerate(batch.users_B.tolist()):
                assert batch.items_T[bounds[b] : bounds[b + 1]].tolist() == examples[user]
                seen.append(user)
    assert sorted(seen) == list(range(1, ROWS + 1))


@pytest.mark.parametrize("workers", [1, 2, 10])
def test_order_does_not_depend_on_threads_and_nothing_is_lost_in_many_epochs(lake, workers):
    for epoch in range(OUR_EPOCHS):
        reader = reader_of(lake, epoch=epoch, workers=workers)
        read = users(reader)
        assert sorted(read) == list(range(1, ROWS + 1)), f"epoch {epoch}"
        if epoch % 30 == 0:
            assert read == users(reader_of(lake, epoch=epoch, workers=3))


def test_row_groups_come_in_the_order_asked_for(lake):
    root, snapshot = lake
    part = snapshot.parts["train"]
    files = [(root / "tables" / part.table / file.path, len(file.row_groups)) for file in part.files]
    plan = [6, 0, 3, 8, 1]
    starts = np.cumsum([0, *row_groups_of(part)])
    for workers in (1, 2, 10):
        tables = list(read_row_groups(files, plan, ["user"], workers))
        assert [table["user"][0].as_py() for table in tables] == [int(starts[i]) + 1 for i in plan]


def test_stock_thread_pool_loses_row_groups(tmp_path):
    """What our pool is for. Ten row groups of ten rows, as in the measurement of stack.md; the stock one comes up short."""
    from petastorm import make_batch_reader

    schema = pa.schema([("user", pa.int64())])
    part = write_part(tmp_path, "plain", pa.table({"user": list(range(100))}, schema=schema), [[10]] * 10)
    urls = [f"file://{tmp_path}/tables/plain/{file.path}" for file in part.files]
    short = epochs = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Seen: 20 % of epochs. Only a machine on which it is far rarer goes on after the first hundred.
        while epochs < 100 or (not short and epochs < STOCK_EPOCHS):
            epochs += 1
            with make_batch_reader(urls, reader_pool_type="thread", workers_count=2, num_epochs=1) as reader:
                counts = Counter(user for batch in reader for user in batch.user.tolist())
            short += counts != Counter(range(100))
    print(f"stock pool: {short} of {epochs} epochs lost rows")
    assert short > 0, "Petastorm's pool lost nothing: if it was mended upstream, arrow_pool.py can go"


@pytest.mark.parametrize("step", [0, 1, 5, 8, 12])
def test_resume_is_the_suffix(lake, step):
    whole, rest = list(reader_of(lake)), list(reader_of(lake, start_step=step))
    assert same(rest, whole[step:])


def test_a_reader_can_be_left_in_mid_epoch_without_leaving_threads(lake):
    before = threading.active_count()
    for _ in range(20):
        iterator = iter(reader_of(lake, workers=4))
        next(iterator)
        iterator.close()
    assert threading.active_count() <= before + 1


def test_in_order_iteration_is_sharded_and_complete(lake):
    root, snapshot = lake
    shards = [users(iter_part(snapshot, root, "train", batch_rows=7, rank=rank, world_size=3)) for rank in range(3)]
    assert [user for shard in shards for user in shard] == list(range(1, ROWS + 1))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_a_truncated_file_is_named(lake):
    root, _ = lake
    path = root / "tables" / "examples_train" / "part-00002.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataContractError, match=r"part-00002\.parquet has \d+ bytes, the snapshot says"):
        reader_of(lake)


def test_a_missing_file_is_named(lake):
    root, snapshot = lake
    (root / "tables" / "examples_train" / "part-00001.parquet").unlink()
    with pytest.raises(DataContractError, match=r"part-00001\.parquet is missing"):
        next(iter_part(snapshot, root, "train"))


def test_a_file_that_goes_bad_after_the_check_is_named(lake):
    """Same size, so only the reading itself can notice."""
    root, _ = lake
    reader = reader_of(lake)
    path = root / "tables" / "examples_train" / "part-00003.parquet"
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(DataContractError, match=r"part-00003\.parquet is missing or not whole"):
        list(reader)


def test_damaged_pages_are_named(lake):
    """The footer is whole, the data is not: the fault is raised in a worker thread and surfaces here."""
    root, _ = lake
    reader = reader_of(lake)
    path = root / "tables" / "examples_train" / "part-00003.parquet"
    body = bytearray(path.read_bytes())
    body[4:200] = b"\xff" * 196
    path.write_bytes(body)
    with pytest.raises(DataContractError, match=r"part-00003\.parquet"):
        list(reader)


def test_any_fault_in_a_worker_thread_surfaces(lake, monkeypatch):
    def fails(self, **_):
        raise ZeroDivisionError("in the thread")

    monkeypatch.setattr(petastorm_reader, "_worker_class", lambda columns: type("Bad", (stock(columns),), {"process": fails}))
    with pytest.raises(ZeroDivisionError, match="in the thread"):
        list(reader_of(lake, workers=2))


stock = petastorm_reader._worker_class


def test_a_lost_row_group_is_counted_and_the_snapshot_named(lake, monkeypatch):
    def loses_the_second(*arguments):
        for number, table in enumerate(read_row_groups(*arguments)):
            if number != 1:
                yield table

    monkeypatch.setattr("trainer.data.epoch.read_row_groups", loses_the_second)
    with pytest.raises(DataContractError, match=f"snapshot {lake[1].id}, part train.* rows|row group .* has .* rows"):
        list(reader_of(lake))


def test_a_row_group_too_many_is_counted(lake, monkeypatch):
    def repeats_the_last(*arguments):
        tables = list(read_row_groups(*arguments))
        yield from [*tables, tables[-1]]

    monkeypatch.setattr("trainer.data.epoch.read_row_groups", repeats_the_last)
    with pytest.raises(DataContractError, match=f"snapshot {lake[1].id}.* read 100 rows of 100, 1 rows were left over"):
        list(reader_of(lake))


def test_drifted_and_missing_columns_are_named(tmp_path):
    rows = examples_table(random_examples(10, 9), "train")
    drifted = rows.set_column(0, "user", rows["user"].cast(pa.float64()))
    for table, message in ((drifted, "column user is double, not int32"), (rows.drop(["times"]), "has no column times")):
        part = write_part(tmp_path, "examples_train", table, [[10]])
        with pytest.raises(DataContractError, match=message):
            next(iter_part(make_snapshot({"train": part}, items=9), tmp_path, "train"))


def test_other_row_groups_than_pinned_are_refused(lake):
    root, snapshot = lake
    part = snapshot.parts["train"]
    files = (part.files[0].model_copy(update={"row_groups": (10, 10)}), *part.files[1:])
    wrong = snapshot.model_copy(update={"parts": {"train": part.model_copy(update={"files": files})}})
    with pytest.raises(DataContractError, match=r"has row groups \(13, 7\), the snapshot says \(10, 10\)"):
        next(iter_part(wrong, root, "train"))
    with pytest.raises(ConfigError, match="other row groups"):
        replace(reader_of(lake), snapshot=wrong)


def test_an_item_outside_the_vocabulary_is_refused(lake):
    root, snapshot = lake
    with pytest.raises(DataContractError, match=r"item ids span \d+\.\.\d+, the vocabulary has 1..200"):
        list(iter_part(snapshot.model_copy(update={"items": 200}), root, "train"))


def test_a_large_row_group_does_not_pile_up_in_memory(tmp_path):
    """Windows far smaller than row groups: what is kept between windows must not grow with the epoch."""
    part = write_part(tmp_path, "examples_train", examples_table(random_examples(3000, 50), "train"), [[500]] * 6)
    snapshot = make_snapshot({"train": part}, items=50)
    plan = make_plan(snapshot, "train", seed=1, epoch=0, world_size=1, batch_rows=16, window_rows=48)
    assert sorted(users(EpochReader(snapshot, tmp_path, "train", plan, 0))) == list(range(1, 3001))
