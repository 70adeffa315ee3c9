"""Rows straight from a file's leaves are those of its Arrow table, however it was written; what is not plain goes to Arrow."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.arrow_rows import ROW_COLUMNS, rows_of
from nightrank.trainer.data.rows import Rows
from nightrank.trainer.data.sources import Tables
from nightrank.trainer.data.training_rows import TrainingRows
from tests.snapshots import Example, examples_table, random_examples

LONGEST = 60
WAYS = {
    "as it comes": {},
    "plain": {"use_dictionary": False, "compression": "none"},
    "small pages": {"data_page_size": 256, "write_batch_size": 64},
    "small dictionaries": {"dictionary_pagesize_limit": 512, "data_page_size": 1024, "write_batch_size": 100},
    "pages of version 2": {"data_page_version": "2.0", "compression": "zstd", "data_page_size": 2048},
    "deltas": {
        "use_dictionary": False,
        "column_encoding": {"times.list.element": "DELTA_BINARY_PACKED", "n": "DELTA_BINARY_PACKED"},
    },
    "streams": {"use_dictionary": False, "use_byte_stream_split": ["weight"], "compression": "gzip"},
    "lists as they were called once": {"use_compliant_nested_type": False},
}


def many(rows=3000):
    """Every column with values of its own, over several chunks of the reader."""
    random = np.random.default_rng(8)
    made = []
    for example in random_examples(rows, 30_000, seed=5, longest=LONGEST):
        n = len(example.items)
        actions, times = random.integers(-128, 128, n).tolist(), random.integers(-(2**62), 2**62, n).tolist()
        first, weight = int(random.integers(0, n)), float(np.float32(random.random()))
        made.append(Example(example.user, example.items, first, actions, times, weight))
    return examples_table(made, "train")


def written(tmp_path, table, **options):
    pq.write_table(table, tmp_path / "file.parquet", **options)
    return tmp_path / "file.parquet"


def bytes_of(rows):
    return (
        rows.heads.tobytes(),
        rows.lengths.tobytes(),
        rows.span,
        *((values.dtype, values.tobytes()) for values in rows.tokens),
    )


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())
def test_rows_are_those_of_the_arrow_table_however_the_file_was_written(tmp_path, options):
    path, source = written(tmp_path, many(), row_group_size=1100, **options), TrainingRows()
    for group in (2, 0, 1):
        rows = source.read(path, group)
        assert isinstance(rows, Rows)
        assert bytes_of(rows) == bytes_of(rows_of(pq.ParquetFile(path).read_row_group(group), "x"))


def test_columns_that_cannot_be_null_are_read_too(tmp_path):
    table = many(200)
    strict = pa.schema([field.with_nullable(False) for field in table.schema])
    lists = [
        field.with_type(pa.list_(pa.field("element", field.type.value_type, False)))
        for field in strict
        if pa.types.is_list(field.type)
    ]
    for field in lists:
        strict = strict.set(strict.get_field_index(field.name), field)
    rows = TrainingRows().read(written(tmp_path, table.cast(strict)), 0)
    assert isinstance(rows, Rows) and bytes_of(rows) == bytes_of(rows_of(table, "x"))


def test_a_row_group_of_one_row_and_one_without(tmp_path):
    with pq.ParquetWriter(tmp_path / "file.parquet", examples_table([], "train").schema) as writer:
        for rows in ([], [Example(7, [3, 2])]):
            writer.write_table(examples_table(rows, "train"), row_group_size=1)
    none, one = (TrainingRows().read(tmp_path / "file.parquet", group) for group in range(2))
    assert isinstance(one, Rows) and one.tokens.items.tolist() == [3, 2] and one.span == (2, 3)
    assert isinstance(none, Rows) and len(none) == len(none.tokens.items) == 0


def with_column(name, values, kind=None):
    table = examples_table([Example(1, [1, 2]), Example(2, [3, 4, 5])], "train")
    at = table.schema.get_field_index(name)
    field = table.schema.field(at) if kind is None else table.schema.field(at).with_type(kind)
    return table.set_column(at, field, pa.array(values, field.type))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (with_column("n", [3, 2]), "2 rows have a list whose length is not its n"),
        (with_column("n", [2, 4]), "1 rows have a list whose length is not its n"),
        (with_column("n", [2, -3]), "1 rows have a list whose length is not its n"),
        (with_column("n", [2**31 - 1, 2**31 - 1]), "2 rows have a list whose length is not its n"),
        (with_column("times", [[1, 2, 3], [4, 5]]), "2 rows have a list whose length is not its n"),
        (with_column("actions", [[1, 2], [3, 4]]), "1 rows have a list whose length is not its n"),
        (with_column("items", [[1, 2], None]), "column items holds 1 nulls"),
        (with_column("times", [[1, None], [3, 4, 5]]), "column times holds 1 nulls inside its lists"),
        (with_column("actions", [[], [3, 4, 5]]), "1 rows have a list whose length is not its n"),
        (with_column("loss_from", [1, 3]), r"loss_from outside \[0, n\)"),
        (with_column("loss_from", [-1, 1]), r"loss_from outside \[0, n\)"),
        (with_column("weight", [None, 1.0]), "column weight holds 1 nulls"),
        (with_column("user", [None, 2]), "column user holds 1 nulls"),
    ],
)
def test_rows_that_are_not_plain_come_as_a_table_and_are_named(tmp_path, table, message):
    found = TrainingRows().read(written(tmp_path, table), 0)
    assert isinstance(found, pa.Table)
    with pytest.raises(DataContractError, match=message):
        rows_of(found, "x")


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("user", [1, 2], pa.int64()),
        ("weight", [1.0, 2.0], pa.float64()),
        ("items", [[1, 2], [3, 4, 5]], pa.list_(pa.int64())),
        ("items", [[[1], [2]], [[3], [4], [5]]], pa.list_(pa.list_(pa.int32()))),
        ("times", [[{"a": 1, "b": 2}] * 2, [{"a": 1, "b": 2}] * 3], pa.list_(pa.struct({"a": pa.int64(), "b": pa.int64()}))),
        ("n", [[2], [3]], pa.list_(pa.int32())),
    ],
)
def test_columns_of_other_types_are_left_to_arrow(tmp_path, name, values, kind):
    assert isinstance(TrainingRows().read(written(tmp_path, with_column(name, values, kind)), 0), pa.Table)


def test_a_file_that_is_gone_cut_off_or_damaged_is_named(tmp_path):
    path, source = written(tmp_path, many(300)), TrainingRows()
    body = path.read_bytes()
    assert isinstance(source.read(path, 0), Rows)
    path.write_bytes(body[:4] + b"\xff" * (len(body) // 2) + body[4 + len(body) // 2 :])
    for reader in (source, TrainingRows()):  # with a footer that is known already, and without
        with pytest.raises(DataContractError, match=r"file\.parquet"):
            reader.read(path, 0)
    path.write_bytes(body[:-9])
    with pytest.raises(DataContractError, match=r"file\.parquet is missing or incomplete"):
        TrainingRows().read(path, 0)
    path.unlink()
    for reader in (source, TrainingRows()):
        with pytest.raises(DataContractError, match=r"file\.parquet is missing or incomplete"):
            reader.read(path, 0)
    with pytest.raises(DataContractError, match="no row group 1"):
        source.read(written(tmp_path, many(10)), 1)


def outcome(read):
    """The rows' bytes, or how they were refused."""
    try:
        found = read()
        return bytes_of(found if isinstance(found, Rows) else rows_of(found, "x"))
    except (DataContractError, pa.ArrowException, OSError):
        return "refused"


@pytest.mark.parametrize("way", ["as it comes", "small pages", "pages of version 2", "deltas"])
def test_damaged_pages_give_what_arrow_gives(tmp_path, way):
    """One to three bytes of the pages are others: both see the same rows, or both see a fault; nothing is written elsewhere."""
    path, random = written(tmp_path, many(150), **WAYS[way]), np.random.default_rng(2)
    whole = path.read_bytes()
    pages, seen = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), set()
    for _ in range(60):
        damaged = bytearray(whole)
        for at in random.integers(4, pages, random.integers(1, 4)):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        ours, arrows = outcome(lambda: TrainingRows().read(path, 0)), outcome(lambda: Tables(ROW_COLUMNS).read(path, 0))
        assert ours == arrows
        seen.add(ours == "refused")
    assert seen == {True, False}
