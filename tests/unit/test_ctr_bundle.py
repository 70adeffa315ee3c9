"""A click bundle scores as the ranker it was made of, and codes are of what training saw."""

import json

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import canonical_json, sha256_file, write_atomic
from nightrank.ranker.ctr.batch import ImpressionBatch
from nightrank.ranker.ctr.bundle import load_ctr_bundle, save_ctr_bundle
from nightrank.ranker.ctr.codes import FieldCodes
from nightrank.ranker.ctr.compose import compose_ctr
from nightrank.ranker.ctr.config import CtrShapes
from tests.ctr_batches import SHAPES, SMALL, ctr_config, impressions

TABLE = pa.table({"user": ["b", "a", None, "b"], "item": [2**53 + 1, 7, 7, 10], "hour": [3, 3, 3, 3]})


def codes():
    values = {field.name: pa.array([f"{field.name}-{n}" for n in range(1, field.size)]) for field in SHAPES.fields}
    return FieldCodes(values)


def trained(name):
    """Not fresh: embeddings that matter, and running statistics of its own."""
    ranker = compose_ctr(ctr_config(name), SHAPES, seed=1)
    with torch.no_grad():
        for table in ranker.tables():
            table.normal_()
        for _ in range(3):
            ranker(impressions(50))
    return ranker.eval()


def rewrite(folder, name, change):
    """A bundle whose manifest is right and whose content is not."""
    change(folder / name)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    write_atomic(folder / "manifest.json", canonical_json({**manifest, name: sha256_file(folder / name)}))


@pytest.mark.parametrize("name", sorted(SMALL))
def test_it_scores_as_the_ranker_does(tmp_path, name):
    ranker, batch = trained(name), impressions(30)
    digest = save_ctr_bundle(tmp_path / "b", ranker, codes())
    bundle = load_ctr_bundle(tmp_path / "b", expected=digest)
    assert torch.equal(bundle.scores(batch), ranker.scores(batch))
    assert (bundle.ranker.config, bundle.ranker.shapes, bundle.manifest_sha256) == (ranker.config, SHAPES, digest)
    assert bundle.codes.to_table().equals(codes().to_table())
    assert digest == save_ctr_bundle(tmp_path / "again", ranker, codes())


def test_running_statistics_are_in_the_bundle(tmp_path):
    save_ctr_bundle(tmp_path / "b", trained("dnn"), codes())
    statistics = {name: value for name, value in load_file(tmp_path / "b" / "weights.safetensors").items() if "running" in name}
    assert len(statistics) == 4
    assert all(not torch.equal(value, torch.zeros_like(value)) for value in statistics.values())


def test_a_tensor_of_another_width_is_named(tmp_path):
    save_ctr_bundle(tmp_path / "b", trained("dnn"), codes())

    def widen(path):
        tensors = load_file(path)
        save_file({**tensors, "members.0.inputs.fields.table.weight": torch.zeros(26, 5)}, path)

    rewrite(tmp_path / "b", "weights.safetensors", widen)
    message = r"tensor members.0.inputs.fields.table.weight has shape \[26, 5\] where config.json says \[26, 4\]"
    with pytest.raises(DataContractError, match=message):
        load_ctr_bundle(tmp_path / "b")


def test_a_missing_tensor_and_an_unknown_part_are_named(tmp_path):
    save_ctr_bundle(tmp_path / "b", trained("dnn"), codes())
    rewrite(tmp_path / "b", "weights.safetensors", lambda p: save_file({"other": torch.zeros(1)}, p))
    with pytest.raises(DataContractError, match=r"tensor members.0.inputs.fields.table.weight is missing"):
        load_ctr_bundle(tmp_path / "b")
    rewrite(tmp_path / "b", "config.json", lambda p: p.write_text(p.read_text().replace('"dnn"', '"dnnn"')))
    with pytest.raises(DataContractError, match=r"config.json: ctr: .*dnnn"):
        load_ctr_bundle(tmp_path / "b")


def test_a_changed_file_is_not_loaded(tmp_path):
    save_ctr_bundle(tmp_path / "b", trained("lr"), codes())
    (tmp_path / "b" / "field_codes.parquet").write_bytes(b"x")
    with pytest.raises(DataContractError, match=r"field_codes.parquet was changed after it was written"):
        load_ctr_bundle(tmp_path / "b")


def test_a_bundle_scores_only_what_its_codes_can_say(tmp_path):
    save_ctr_bundle(tmp_path / "b", trained("lr"), codes())
    batch = impressions(30)
    batch.codes_BF[:, 1] = 13
    with pytest.raises(DataContractError, match=r"field item holds codes 13..13 where the ranker knows 0..12"):
        load_ctr_bundle(tmp_path / "b").scores(batch)


def test_codes_of_other_impressions_are_not_saved(tmp_path):
    with pytest.raises(DataContractError, match=r"codes of user \(3\), item \(4\) for a ranker of user \(9\)"):
        save_ctr_bundle(tmp_path / "b", trained("lr"), FieldCodes.fit(TABLE, ["user", "item"]))


def test_codes_are_sorted_text_from_one_and_the_rest_is_zero():
    fitted = FieldCodes.fit(TABLE, ["user", "item"])
    assert {name: known.to_pylist() for name, known in fitted.values.items()} == {
        "user": ["a", "b"],
        "item": ["10", "7", str(2**53 + 1)],
    }
    assert fitted.encode(TABLE).tolist() == [[2, 3], [1, 2], [0, 2], [2, 1]]
    new = pa.table({"user": ["c", "a"], "item": ["7", "8"], "more": [0, 0]})
    assert fitted.encode(new).tolist() == [[0, 2], [1, 0]]


def test_codes_do_not_depend_on_the_order_of_the_rows_and_leave_out_what_is_rare():
    assert FieldCodes.fit(TABLE, ["user"]).to_table().equals(FieldCodes.fit(TABLE.take([3, 1, 0, 2]), ["user"]).to_table())
    assert FieldCodes.fit(TABLE, ["user", "item"], at_least=2).encode(TABLE).tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]


def test_a_field_that_is_not_there_is_named():
    with pytest.raises(DataContractError, match="impressions without the field city"):
        FieldCodes.fit(TABLE, ["city"])


ROWS = pa.table(
    {
        "user": ["user-1", "nobody", None],
        "item": ["item-2", "item-3", "item-12"],
        "hour": ["hour-1", "hour-1", "hour-3"],
        "price": [1.0, None, 6.0],
        "history": [["item-1", "unheard of", "item-12"], [], None],
    }
)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_rows_as_they_come_are_scored_as_their_codes(tmp_path, name):
    save_ctr_bundle(tmp_path / "b", trained(name), codes())
    bundle = load_ctr_bundle(tmp_path / "b")
    coded = ImpressionBatch(
        codes_BF=torch.tensor([[1, 2, 1], [0, 3, 1], [0, 12, 3]]),
        numeric_BD=torch.tensor([[1.0], [torch.nan], [6.0]]),
        labels_BA=torch.full((3, 1), torch.nan),
        weight_B=torch.ones(3),
        history_T=torch.tensor([1, 12]),
        offsets_B1=torch.tensor([0, 2, 2, 2]),
    )
    assert torch.equal(bundle.predict(ROWS), bundle.scores(coded))
    in_pieces = [bundle.predict(ROWS.slice(row, 1)) for row in range(3)]
    torch.testing.assert_close(torch.cat(in_pieces), bundle.predict(ROWS))
    assert bundle.predict(ROWS.slice(0, 0)).shape == (0, 1)


def test_whole_numbers_and_lists_of_them_name_the_same_values_as_their_text(tmp_path):
    ids = FieldCodes({"user": pa.array([str(n) for n in range(1, 9)]), "item": pa.array([str(n) for n in range(1, 13)])})
    shapes = CtrShapes(fields=ids.shapes, history="item")
    save_ctr_bundle(tmp_path / "b", compose_ctr(ctr_config("din"), shapes, seed=1), ids)
    bundle = load_ctr_bundle(tmp_path / "b")
    as_text = pa.table({"user": ["3"], "item": ["12"], "history": [["1", "7"]]})
    assert torch.equal(bundle.predict(as_text), bundle.predict(pa.table({"user": [3], "item": [12], "history": [[1, 7]]})))


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("dnn", "hour", r"impressions without the field hour"),
        ("lr", "price", r"impressions without the number price"),
        ("din", "history", r"impressions without the column history"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path, name, column, message):
    save_ctr_bundle(tmp_path / "b", trained(name), codes())
    bundle = load_ctr_bundle(tmp_path / "b")
    with pytest.raises(DataContractError, match=message) as fault:
        bundle.predict(ROWS.drop_columns([column]))
    assert "they have user, item" in fault.value.remedy


def test_only_a_ranker_that_reads_histories_asks_for_them(tmp_path):
    save_ctr_bundle(tmp_path / "b", trained("dnn"), codes())
    bundle = load_ctr_bundle(tmp_path / "b")
    assert torch.equal(bundle.predict(ROWS.drop_columns(["history"])), bundle.predict(ROWS))
