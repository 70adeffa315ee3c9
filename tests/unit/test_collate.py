"""Arrow tables become rows and batches, value by value as Python lists would."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from feature_store.contracts.errors import DataContractError
from tests.snapshots import Example, examples_table, random_examples
from trainer.data.collate import batch_of
from trainer.data.rows import compacted, concatenated, rows_of, selected


def lists_of(batch):
    bounds = batch.offsets_B1.tolist()
    return [batch.items_T.tolist()[a:b] for a, b in pairwise(bounds)]


def test_a_batch_holds_what_the_table_holds():
    rows = [
        Example(7, [1, 2, 3], 2, actions=[2, 5, 6], times=[10, 20, 2**53 + 1], weight=0.5),
        Example(9, [4], 0, actions=[1], times=[5]),
    ]
    batch = batch_of(rows_of(examples_table(rows, "train"), "here"))
    assert batch.items_T.tolist() == [1, 2, 3, 4]
    assert batch.actions_T.tolist() == [2, 5, 6, 1]
    assert batch.times_T.tolist() == [10, 20, 2**53 + 1, 5]
    assert batch.offsets_B1.tolist() == [0, 3, 4]
    assert batch.loss_from_B.tolist() == [2, 0]
    assert batch.weight_B.tolist() == [0.5, 1.0]
    assert batch.users_B.tolist() == [7, 9]
    assert {str(t.dtype) for t in (batch.items_T, batch.actions_T, batch.times_T, batch.users_B)} == {"torch.int64"}


def test_selection_concatenation_and_compaction_agree_with_lists():
    examples = random_examples(60, 100)
    table = examples_table(examples, "train")
    rows = concatenated([rows_of(table.slice(0, 25), "a"), rows_of(table.slice(25, 35), "b")])
    order = np.random.default_rng(1).permutation(60)[:40]
    wanted = [list(examples[i].items) for i in order]
    assert lists_of(batch_of(selected(rows, order))) == wanted
    assert lists_of(batch_of(compacted(selected(rows, order)))) == wanted


def test_a_chunked_table_is_read_as_one():
    table = examples_table(random_examples(20, 50), "train")
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7)])
    assert lists_of(batch_of(rows_of(chunked, "x"))) == lists_of(batch_of(rows_of(table, "x")))


def test_no_rows_give_an_empty_batch():
    rows = rows_of(examples_table(random_examples(5, 9), "train"), "x")
    batch = batch_of(selected(rows, np.zeros(0, np.int64)))
    assert (batch.rows, batch.tokens, batch.offsets_B1.tolist()) == (0, 0, [0])


def broken(column, values):
    table = examples_table([Example(1, [1, 2]), Example(2, [3, 4, 5])], "train")
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("n", [2, 4], "1 rows have a list whose length is not its n, the first is row 1"),
        ("items", [[1, 2], [3, 4]], "list whose length is not its n"),
        ("items", [[1, 2], None], "column items holds 1 nulls"),
        ("items", [[1, None], [3, 4, 5]], "column items holds 1 nulls inside its lists"),
        ("loss_from", [1, 3], r"loss_from outside \[0, n\)"),
        ("user", [None, 2], "column user holds 1 nulls"),
    ],
)
def test_rows_that_break_the_contract_are_refused_by_name(column, values, message):
    with pytest.raises(DataContractError, match=f"row group 3: .*{message}"):
        rows_of(broken(column, values), "row group 3")
