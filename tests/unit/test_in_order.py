"""iter_part: a part in file order, sharded over ranks."""

import threading

import pytest

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.epoch import iter_part
from tests.snapshots import examples_table, make_snapshot, random_examples, write_part

GROUPS = [[13, 7], [20], [1, 19, 5], [], [11, 9], [15]]
ROWS = sum(map(sum, GROUPS))


@pytest.fixture
def lake(tmp_path):
    rows = examples_table(random_examples(ROWS, 300, seed=4), "train")
    part = write_part(tmp_path, "examples_train", rows, GROUPS)
    return tmp_path, make_snapshot({"train": part}, items=300)


@pytest.mark.parametrize("world", [1, 3, 7])
def test_it_is_sharded_complete_and_in_order(lake, world):
    root, snapshot = lake
    shards = [
        [
            user
            for batch in iter_part(snapshot, root, "train", batch_rows=7, rank=rank, world_size=world)
            for user in batch.users_B.tolist()
        ]
        for rank in range(world)
    ]
    assert [user for shard in shards for user in shard] == list(range(1, ROWS + 1))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_no_batch_is_larger_than_asked_for(lake):
    root, snapshot = lake
    assert {batch.rows for batch in iter_part(snapshot, root, "train", batch_rows=7)} <= set(range(1, 8))


def test_left_early_it_leaves_no_thread(lake):
    root, snapshot = lake
    before = threading.active_count()
    batches = iter_part(snapshot, root, "train", batch_rows=3)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_a_missing_file_is_named(lake):
    root, snapshot = lake
    (root / "tables" / "examples_train" / "part-00001.parquet").unlink()
    with pytest.raises(DataContractError, match=r"part-00001\.parquet is missing"):
        next(iter_part(snapshot, root, "train"))


def test_an_item_outside_the_vocabulary_is_refused(lake):
    root, snapshot = lake
    with pytest.raises(DataContractError, match=r"item ids span \d+\.\.\d+, the vocabulary has 1..200"):
        list(iter_part(snapshot.model_copy(update={"items": 200}), root, "train"))
