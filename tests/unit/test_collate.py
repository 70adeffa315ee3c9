"""Arrow tables become rows and batches, value by value as Python lists would."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch

from feature_store.contracts.errors import DataContractError
from ranker.batch import Batch
from tests.snapshots import Example, examples_table, random_examples
from trainer.data.arrow_rows import rows_of
from trainer.data.collate import batch_of, batches_of
from trainer.data.compiled import gather_rows, heads_of, permutation, sorted_by_length
from trainer.data.rows import HEAD, Columns, Rows, Tokens, chosen, joined

TENSORS = [field.name for field in fields(Batch) if field.name != "wait_B"]


def lists_of(batch):
    bounds = batch.offsets_B1.tolist()
    return [batch.items_T.tolist()[a:b] for a, b in pairwise(bounds)]


def test_a_batch_holds_what_the_table_holds():
    rows = [
        Example(7, [1, 2, 3], 2, actions=[2, 5, 6], times=[10, 20, 2**53 + 1], weight=0.5),
        Example(9, [4], 0, actions=[1], times=[5]),
    ]
    batch = batch_of(chosen(rows_of(examples_table(rows, "train"), "here")))
    assert batch.items_T.tolist() == [1, 2, 3, 4]
    assert batch.actions_T.tolist() == [2, 5, 6, 1]
    assert batch.times_T.tolist() == [10, 20, 2**53 + 1, 5]
    assert batch.offsets_B1.tolist() == [0, 3, 4]
    assert batch.loss_from_B.tolist() == [2, 0]
    assert batch.weight_B.tolist() == [0.5, 1.0]
    assert batch.users_B.tolist() == [7, 9]
    assert {str(t.dtype) for t in (batch.items_T, batch.actions_T, batch.times_T, batch.users_B)} == {"torch.int64"}


def test_rows_chosen_from_several_row_groups_agree_with_lists():
    examples = [
        replace(row, actions=[item % 5 + 1 for item in row.items], times=[item << 40 for item in row.items], weight=0.5)
        for row in random_examples(60, 100)
    ]
    table = examples_table(examples, "train")
    parts = [chosen(rows_of(table.slice(0, 25), "a")), chosen(rows_of(table.slice(25, 35), "b"), np.arange(35)[::-1])]
    rows, stream = joined(parts), [*examples[:25], *examples[:24:-1]]
    order = np.random.default_rng(1).permutation(60)[:40]
    wanted = [stream[i] for i in order]
    batch = batch_of(rows.take(order))
    assert lists_of(batch) == [list(row.items) for row in wanted]
    assert batch.times_T.tolist() == [time for row in wanted for time in row.times]
    assert batch.actions_T.tolist() == [action for row in wanted for action in row.actions]
    assert batch.users_B.tolist() == [row.user for row in wanted]
    assert batch.loss_from_B.tolist() == [row.loss_from for row in wanted]
    assert lists_of(batch_of(rows.take(slice(20, 30)))) == [list(row.items) for row in stream[20:30]]


def test_rows_joined_twice_keep_their_row_groups():
    examples = random_examples(9, 20)
    one, two, three = (chosen(rows_of(examples_table(examples[at : at + 3], "train"), "x")) for at in (0, 3, 6))
    rows = joined([joined([one, two]), three.take(slice(0, 0)), three])
    assert lists_of(batch_of(rows)) == [list(row.items) for row in examples]


def test_batches_of_a_slab_are_those_made_one_by_one():
    rows = chosen(rows_of(examples_table(random_examples(500, 300), "train"), "x"))
    places = np.array_split(np.random.default_rng(3).permutation(500), 7)
    for together, places_of_one in zip(batches_of(rows, places), places, strict=True):
        alone = batch_of(rows.take(places_of_one))
        assert all(torch.equal(getattr(together, name), getattr(alone, name)) for name in TENSORS)


def gathered_from(rows, index, tokens, count=None):
    flat = [np.zeros(tokens, np.int64) for _ in range(3)]
    columns = [np.zeros(len(index) if count is None else count, kind) for kind in (np.int64, np.int64, np.float32)]
    gather_rows(rows.places, np.array(index, np.int64), *flat, *columns)
    return flat[0].tolist()


def test_the_compiled_loop_writes_nothing_outside_what_it_was_given():
    rows = rows_of(examples_table([Example(1, [1, 2]), Example(2, [3, 4, 5])], "train"), "x")
    assert gathered_from(rows, [1, 0], 5) == [3, 4, 5, 1, 2]
    for index in ([0, 2], [-1, 0], [0, 1 << 32]):
        with pytest.raises(IndexError, match=r"row \d of 2 is outside"):
            gathered_from(rows, index, 5)
    for tokens in (4, 6):
        with pytest.raises(IndexError):
            gathered_from(rows, [1, 0], tokens)
    with pytest.raises(ValueError, match="another size"):
        gathered_from(rows, [1, 0], 5, count=3)


def test_tokens_outside_their_row_group_are_refused():
    rows = rows_of(examples_table([Example(1, [1, 2]), Example(2, [3, 4, 5])], "train"), "x")
    for offsets in ([0, 2, 6], [-1, 2, 5], [3, 2, 5]):
        heads = rows.heads.copy()
        heads["offset"] = offsets
        with pytest.raises(IndexError, match=r"row \d of 2 is outside"):
            gathered_from(replace(rows, heads=heads), [0, 1], 5)


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
    assert lists_of(batch_of(chosen(rows_of(chunked, "x")))) == lists_of(batch_of(chosen(rows_of(table, "x"))))


def test_no_rows_give_an_empty_batch():
    rows = chosen(rows_of(examples_table(random_examples(5, 9), "train"), "x"))
    batch = batch_of(rows.take(np.zeros(0, np.int64)))
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
