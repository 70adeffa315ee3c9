"""Impressions from pinned files: every row once over all ranks, resumed where they stopped, refused where they are broken."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.impressions import ImpressionSource, impressions_of
from tests.ctr_batches import SHAPES, impressions
from tests.snapshots import make_snapshot, write_part

TWO = SHAPES.model_copy(update={"labels": ("click", "cart")})


def table_of(rows, seed=0):
    """Weights are row numbers, so that a batch says which rows it holds; every third row was not asked about `cart`."""
    made = impressions(rows, TWO, seed)
    ends = made.offsets_B1.tolist()
    past = made.history_T.tolist()
    labels = made.labels_BA.tolist()
    prices = made.numeric_BD.tolist()
    return pa.table(
        {
            "user": [0] * rows,
            "item": [0] * rows,
            "event_time": [0] * rows,
            "availability_time": [0] * rows,
            "split": ["train"] * rows,
            "source": ["history"] * rows,
            "weight": [float(n) for n in range(rows)],
            "codes": made.codes_BF.tolist(),
            "numeric": [[None] if n % 5 == 0 else prices[n] for n in range(rows)],
            "labels": [[labels[n][0], None if n % 3 == 0 else labels[n][1]] for n in range(rows)],
            "history": [past[a:b] for a, b in pairwise(ends)],
        },
        schema=schemas.POINTWISE,
    )


def source_of(tmp_path, rows=500, world=1, rank=0, batch_rows=40, groups=((100, 100), (150,), (149, 1))):
    part = write_part(tmp_path, "examples_train", table_of(rows), groups)
    return ImpressionSource(make_snapshot({"train": part}, items=12), tmp_path, "train", TWO, 3, rank, world, batch_rows)


def test_a_table_is_read_as_it_was_written():
    batch, wanted = impressions_of(table_of(30), TWO, "here"), impressions(30, TWO)
    assert torch.equal(batch.codes_BF, wanted.codes_BF)
    assert torch.equal(batch.history_T, wanted.history_T) and torch.equal(batch.offsets_B1, wanted.offsets_B1)
    assert torch.isnan(batch.labels_BA[:, 1]).nonzero().flatten().tolist() == list(range(0, 30, 3))
    assert torch.isnan(batch.numeric_BD[:, 0]).nonzero().flatten().tolist() == list(range(0, 30, 5))
    assert torch.equal(batch.labels_BA[:, 0], wanted.labels_BA[:, 0])
    part = impressions_of(table_of(30).slice(10, 7), TWO, "here")
    assert torch.equal(part.history_T, wanted.between(10, 17).history_T)


@pytest.mark.parametrize("world", [1, 3])
def test_an_epoch_is_every_row_once_over_all_ranks(tmp_path, world):
    sources = [source_of(tmp_path, world=world, rank=rank) for rank in range(world)]
    whole = impressions_of(table_of(500), TWO, "here")
    seen = []
    for source in sources:
        batches = list(source.batches(1, 0))
        assert len(batches) == source.steps(1)
        for batch in batches:
            places = batch.weight_B.long()
            wanted = whole.take(places)
            assert torch.equal(batch.codes_BF, wanted.codes_BF) and torch.equal(batch.history_T, wanted.history_T)
            assert torch.equal(batch.labels_BA.nan_to_num(-1), wanted.labels_BA.nan_to_num(-1))
            seen += places.tolist()
    assert sorted(seen) == list(range(500)) != seen
    assert sources[0].rows(1) == 500


@pytest.mark.parametrize("start", [1, 5, 12])
def test_a_resumed_epoch_goes_on_with_the_batch_that_would_have_come(tmp_path, start):
    source = source_of(tmp_path)
    whole = [batch.weight_B.tolist() for batch in source.batches(0, 0)]
    assert [batch.weight_B.tolist() for batch in source.batches(0, start)] == whole[start:]
    assert [batch.weight_B.tolist() for batch in source.batches(1, 0)] != whole


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("codes", [[1, 2]] * 4, "here: column codes holds 2 values in row 0, the ranker reads 3"),
        ("labels", [[1.0, 0.0]] * 3 + [[1.0]], "column labels holds 1 values in row 3, the ranker reads 2"),
        ("codes", [[1, None, 2]] * 4, "column codes holds 4 nulls inside its lists"),
        ("history", [[1], None, [], [2]], "column history holds 1 nulls"),
        ("weight", [1.0, None, 1.0, 1.0], "column weight holds 1 nulls"),
        ("codes", [[1, 13, 2]] * 4, r"field item holds codes 13..13"),
        ("history", [[1], [14], [], [2]], r"the history of field item holds codes 1..14"),
    ],
)
def test_broken_rows_are_named(column, values, message):
    table = table_of(4)
    place = table.column_names.index(column)
    broken = table.set_column(place, column, pa.array(values, table.schema.field(column).type))
    with pytest.raises(DataContractError, match=message):
        impressions_of(broken, TWO, "here")


def test_files_of_another_kind_are_refused(tmp_path):
    source = source_of(tmp_path)
    path = next((tmp_path / "tables" / "examples_train").glob("part-00001*"))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(DataContractError, match=r"part-00001.parquet has \d+ bytes, the snapshot says"):
        next(source.batches(0, 0))


def test_no_row_gives_no_batch(tmp_path):
    source = source_of(tmp_path, rows=0, groups=())
    assert (source.steps(0), list(source.batches(0, 0))) == (0, [])
    assert np.isnan(impressions_of(table_of(3), TWO, "here").labels_BA.numpy()).sum() == 1
