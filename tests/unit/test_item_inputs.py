"""Item inputs and vocabularies from pinned files, against values written by hand."""

from dataclasses import replace

import pyarrow as pa
import pytest

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.snapshot import Normalisation
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.store import save_bundle
from nightrank.ranker.compose import compose, compose_empty, materialise
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.trainer.data.item_inputs import item_counts, load_item_inputs, load_vocabulary
from tests.snapshots import Example, examples_table, make_snapshot, write_part


def vocabulary(rows):
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("kind", "raw_id", "dense_id"))}
    empty = [None] * len(rows)
    return pa.table({**columns, "first_available": empty, "landing_date": empty}, schema=schemas.VOCABULARY)


def parts_of(root, *, vectors, inputs, rows, names):
    text = pa.table(
        {
            "item": [item for item, _ in vectors],
            "content_sha256": ["x"] * len(vectors),
            "revision": ["r"] * len(vectors),
            "vector": [vector for _, vector in vectors],
            "tokens": [[item, 7] if vector else None for item, vector in vectors],
        },
        schema=schemas.ITEM_EMBEDDINGS,
    )
    side = pa.table(
        dict(zip(("item", "category_codes", "numeric"), zip(*inputs, strict=True), strict=True)), schema=schemas.ITEM_INPUTS
    )
    return {
        "item_embeddings": write_part(root, "item_embeddings", text, [[1], [len(vectors) - 1]]),
        "items": write_part(root, "item_inputs", side, [[2, len(inputs) - 2]]),
        "train": write_part(root, "examples_train", examples_table(rows, "train"), [[len(rows)]]),
        "vocabulary": write_part(root, "vocabulary", vocabulary(names), [[len(names)]]),
    }


@pytest.fixture
def good():
    return {
        "vectors": [(3, [1.0, 2.0]), (1, [3.0, 4.0]), (2, None)],
        "inputs": [(1, [2, 1], [0.5]), (4, [], [-1.0]), (2, [3], [0.25])],
        "rows": [Example(1, [1, 2, 2, 3]), Example(1, [2, 3, 4], loss_from=2), Example(2, [4], loss_from=0)],
        "names": [("user", "u", 1), ("item", "b", 2), ("item", "a", 1), ("item", "9007199254740993", 3), ("item", "d", 4)],
    }


def snapshot_of(root, facts, items=4):
    norm = Normalisation(numeric=("price",), mean=(0.0,), std=(1.0,), categories=("x", "y", "z"))
    return make_snapshot(parts_of(root, **facts), items=items, users=1, normalisation=norm, text_width=2)


BUFFERS = {"text": "text_matrix", "category_codes": "category_codes", "numeric": "numeric_matrix"}


def test_a_ranker_holds_the_tables_that_were_read_and_no_second_copy(tmp_path, good):
    inputs = load_item_inputs(snapshot_of(tmp_path, good), tmp_path)
    ranker = compose(RankerConfig(width=4), inputs)
    save_bundle(tmp_path / "b", ranker, list("abcd"), snapshot_id="s", lineage="l")
    grown = load_bundle(tmp_path / "b").ranker(inputs)
    for name, buffer in BUFFERS.items():
        table = getattr(inputs, name)
        for each in (ranker, grown):
            assert getattr(each.items, buffer).data_ptr() == table.data_ptr(), name
            assert getattr(each.items, buffer).equal(table)
    assert not {f"items.{buffer}" for buffer in BUFFERS.values()} & {*ranker.state_dict()}


def test_a_ranker_does_not_change_what_it_is_given(tmp_path, good):
    """Row 0 of these tables is not empty, and texts of a tuned encoder are written over: both are copied."""
    read = load_item_inputs(snapshot_of(tmp_path, good), tmp_path)
    inputs = replace(read, numeric=read.numeric + 1)
    ranker = compose(RankerConfig(width=4), inputs)
    assert ranker.items.numeric_matrix.data_ptr() != inputs.numeric.data_ptr()
    assert ranker.items.numeric_matrix[0].tolist() == [0] and inputs.numeric[0].tolist() == [1]
    tuned = RankerConfig.model_validate({"width": 4, "item": {"text": {"name": "lora"}}})
    composed = materialise(compose_empty(tuned, inputs.shapes), inputs)
    assert composed.items.text_matrix.data_ptr() != inputs.text.data_ptr()


def test_tables_stand_by_dense_id_and_missing_rows_are_zero(tmp_path, good):
    inputs = load_item_inputs(snapshot_of(tmp_path, good), tmp_path)
    assert inputs.text.tolist() == [[0, 0], [3, 4], [0, 0], [1, 2], [0, 0]]
    assert inputs.category_codes.tolist() == [[0, 0], [2, 1], [3, 0], [0, 0], [0, 0]]
    assert inputs.numeric.tolist() == [[0], [0.5], [0.25], [0], [-1]]
    assert inputs.categories == 3
    assert inputs.tokens is None
    tokens = load_item_inputs(snapshot_of(tmp_path, good), tmp_path, with_tokens=True).tokens
    assert tokens.flat.tolist() == [1, 7, 3, 7]
    assert tokens.offsets.tolist() == [0, 0, 2, 2, 4, 4]


def test_events_are_counted_once_and_context_not_at_all(tmp_path, good):
    assert item_counts(snapshot_of(tmp_path, good), tmp_path).tolist() == [0, 1, 2, 1, 2]


def test_replayed_events_are_not_counted_as_new_ones(tmp_path, good):
    replayed = [Example(1, [1, 2, 2, 3], source="replay"), *good["rows"][1:]]
    assert item_counts(snapshot_of(tmp_path, good | {"rows": replayed}), tmp_path).tolist() == [0, 0, 0, 0, 2]


def test_raw_ids_in_dense_order(tmp_path, good):
    snapshot = snapshot_of(tmp_path, good)
    assert load_vocabulary(snapshot, tmp_path) == ["a", "b", "9007199254740993", "d"]
    assert load_vocabulary(snapshot, tmp_path, "user") == ["u"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": [(3, [1.0, 2.0]), (3, [3.0, 4.0])]}, "contain an id twice"),
        ({"vectors": [(3, [1.0, 2.0]), (9, [3.0, 4.0])]}, r"name ids 9\.\.9 of 1\.\.4"),
        ({"vectors": [(3, [1.0, 2.0]), (1, [3.0])]}, r"text vector have widths \[1\], not 2"),
        ({"vectors": [(3, [1.0, float("nan")]), (1, [3.0, 1.0])]}, "NaN or infinite"),
        ({"inputs": [(1, [2], []), (2, [], [1.0])]}, r"numeric inputs have widths"),
        ({"names": [("item", "a", 1), ("item", "b", 3)]}, r"2 item ids are not exactly 1\.\.4"),
    ],
)
def test_what_does_not_fit_the_vocabulary_is_refused(tmp_path, good, change, message):
    snapshot = snapshot_of(tmp_path, good | change)
    with pytest.raises(DataContractError, match=message):
        load_item_inputs(snapshot, tmp_path)
        load_vocabulary(snapshot, tmp_path)


def test_without_text_categories_and_numbers_there_are_no_tables(tmp_path, good):
    facts = good | {"inputs": [(1, [], []), (2, [], [])]}
    snapshot = make_snapshot(parts_of(tmp_path, **facts), items=4)
    inputs = load_item_inputs(snapshot, tmp_path)
    assert (inputs.text, inputs.category_codes, inputs.numeric) == (None, None, None)
