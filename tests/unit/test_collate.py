"""Arrow tables become rows and batches, value by value as Python lists would."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.trainer.data.arrow_rows import rows_of
from nightrank.trainer.data.collate import batch_of
from nightrank.trainer.data.compiled import heads_of, permutation, sorted_by_length
from nightrank.trainer.data.rows import HEAD, Columns, Rows, Tokens
from tests.snapshots import Example, examples_table, random_examples


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


def test_rows_from_the_middle_are_those_of_the_table():
    examples = random_examples(20, 50)
    rows = rows_of(examples_table(examples, "train"), "x")
    assert lists_of(batch_of(rows, 5, 9)) == [list(row.items) for row in examples[5:9]]
    assert batch_of(rows, 5, 9).users_B.tolist() == [row.user for row in examples[5:9]]
    assert lists_of(batch_of(rows, 19)) == [list(examples[19].items)]


def written_out(**changes):
    """Two rows of two and three tokens."""
    facts = {"offsets": [0, 2, 5], "stated": [2, 3], "loss_from": [1, 0], "items": np.arange(1, 6, dtype=np.int32), **changes}
    columns = Columns(np.array([7, 9]), np.array(facts["loss_from"]), np.ones(2), np.array(facts["stated"]))
    offsets = [np.array(facts.get(name, facts["offsets"])) for name in ("offsets", "of_actions", "of_times")]
    return Rows.of(columns, offsets, Tokens(facts["items"], np.zeros(5, np.int8), np.zeros(5, np.int64)))


def test_rows_are_none_where_their_parts_do_not_go_together():
    assert written_out().span == (1, 5) and written_out().heads["user"][:2].tolist() == [7, 9]
    for change in (
        {"stated": [2, 2]},
        {"of_actions": [0, 3, 5]},
        {"of_times": [0, 2, 4]},
        {"loss_from": [2, 0]},
        {"loss_from": [0, -1]},
    ):
        assert written_out(**change) is None, change


@pytest.mark.parametrize("items", [np.zeros(5, np.int64), np.zeros(10, np.int32)[::2]])
def test_tokens_the_compiled_loop_could_not_read_are_refused(items):
    with pytest.raises(TypeError, match=r"items is int\d\d, not int32 in one piece"):
        written_out(items=items)


def test_columns_of_another_size_are_refused():
    with pytest.raises(ValueError, match="different sizes"):
        written_out(stated=[2, 3, 1])
    with pytest.raises(ValueError, match="a head for each row"):
        three, two = np.zeros(3, np.int32), np.zeros(2, np.int32)
        heads_of(np.zeros(2, HEAD), three, three, three, two, two, two, np.zeros(2, np.float32), two)


def test_a_permutation_is_a_function_of_its_seed_and_every_place_is_as_likely():
    drawn = np.empty((3000, 5), np.int64)
    for seed, out in enumerate(drawn):
        permutation(out, seed)
    assert (np.sort(drawn, axis=1) == np.arange(5)).all()
    seen = np.stack([(drawn == value).sum(0) for value in range(5)])
    assert abs(seen - 600).max() < 5 * np.sqrt(600 * 0.8)
    again, large = np.empty(5, np.int64), np.empty(5, np.int64)
    permutation(again, 7)
    permutation(large, 2**64 - 1)
    assert again.tolist() == drawn[7].tolist()
    permutation(np.empty(0, np.int64), 1)


def test_places_by_length_are_stable_in_nothing_but_the_length():
    lengths = np.random.default_rng(1).integers(0, 9, 4000).astype(np.int32)
    orders = np.empty((2, 4000), np.int64)
    for seed, out in enumerate(orders):
        sorted_by_length(out, lengths, seed)
        assert (lengths[out] == np.sort(lengths)).all() and (np.sort(out) == np.arange(4000)).all()
    shortest = orders[:, : int((lengths == 0).sum())]
    assert (shortest[0] != shortest[1]).mean() > 0.9 and (np.diff(shortest[0]) < 0).any()
    with pytest.raises(ValueError, match="below 0"):
        sorted_by_length(np.empty(2, np.int64), np.array([3, -1], np.int32), 1)
    with pytest.raises(ValueError, match="a place for each length"):
        sorted_by_length(np.empty(3, np.int64), np.array([3, 1], np.int32), 1)


def test_a_chunked_table_is_read_as_one():
    table = examples_table(random_examples(20, 50), "train")
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7)])
    assert lists_of(batch_of(rows_of(chunked, "x"))) == lists_of(batch_of(rows_of(table, "x")))


def test_no_rows_give_an_empty_batch():
    rows = rows_of(examples_table(random_examples(5, 9), "train"), "x")
    batch = batch_of(rows, 3, 3)
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
