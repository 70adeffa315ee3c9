"""Accuracy is measured on rows in memory; the program trains on rows in files. The batches are the same."""

from itertools import pairwise

import pytest
import torch

from benchmarks.accuracy.fit import epoch_batches
from benchmarks.accuracy.sequences import read_sequences, training_rows
from nightrank.trainer.data.epoch import EpochReader, make_plan
from tests.snapshots import Example, examples_table, make_snapshot, write_part
from tests.training_lake import synthetic_sequences


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_benchmark_trains_on_the_batches_that_the_reader_gives(tmp_path, epoch):
    lines = [f"{user} {' '.join(map(str, row))}\n" for user, row in enumerate(synthetic_sequences(300, 40, shortest=5))]
    (tmp_path / "s.txt").write_text("".join(lines))
    data = read_sequences(tmp_path / "s.txt")
    rows = training_rows(data, 2, 50)
    bounds, items = pairwise(rows.heads["offset"].tolist()), rows.tokens.items.tolist()
    examples = [
        Example(user, items[first:last], times=[0] * (last - first), actions=[0] * (last - first))
        for user, (first, last) in zip(rows.heads["user"].tolist(), bounds, strict=False)
    ]
    part = write_part(tmp_path, "examples_train", examples_table(examples, "train"), [[len(examples)]])
    snapshot = make_snapshot({"train": part}, items=data.items)
    plan = make_plan(snapshot, "train", seed=7, epoch=epoch, world_size=1, batch_rows=32, window_rows=128)
    read, made = list(EpochReader(snapshot, tmp_path, "train", plan, 0)), list(epoch_batches(rows, plan))
    assert len(read) == len(made) > 8
    for one, other in zip(read, made, strict=True):
        assert all(torch.equal(value, vars(other)[name]) for name, value in vars(one).items() if value is not None)
