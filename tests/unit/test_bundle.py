"""A bundle scores as the ranker it was made of, and nothing that was changed is loaded."""

import json

import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.files import canonical_json, sha256_file, write_atomic
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.store import save_bundle, store_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import DotConfig, RankerConfig, TransformerConfig
from nightrank.ranker.inputs import ItemInputs

ITEMS = 25
RAW = [str(2**53 + 1 + item) if item % 2 else f"sku-{item}" for item in range(1, ITEMS + 1)]
FACTS = {"snapshot_id": "snap", "lineage": "line", "text_encoder": "mini", "text_revision": "r1"}


def inputs(items=ITEMS):
    text = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))[: items + 1]
    return ItemInputs(items, text=text.clone(), popularity=torch.arange(items + 1))


def ranker(**head):
    config = RankerConfig(width=8, encoder=TransformerConfig(max_length=6), head=DotConfig(**head))
    return compose(config, inputs(), seed=1).eval()


@pytest.fixture
def folder(tmp_path):
    save_bundle(tmp_path / "b", ranker(), RAW, **FACTS)
    return tmp_path / "b"


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("item_bias", [False, True])
def test_it_scores_as_the_ranker_does(tmp_path, normalise, item_bias):
    model = ranker(normalise=normalise, item_bias=item_bias)
    name = save_bundle(tmp_path / "b", model, RAW, **FACTS)
    bundle = load_bundle(tmp_path / "b", expected=name)
    batch = Batch.from_lists([[1, 2, 3], [], [9]])
    torch.testing.assert_close(bundle.user_vectors(batch), model.user_vectors(batch))
    assert torch.equal(bundle.item_matrix, model.all_item_vectors())
    assert (bundle.item_matrix[0] == 0).all()
    assert (bundle.raw_ids, bundle.info.snapshot_id, bundle.manifest_sha256) == (RAW, "snap", name)


def test_the_same_content_has_the_same_name(tmp_path):
    one = save_bundle(tmp_path / "a", ranker(), RAW, **FACTS)
    assert one == save_bundle(tmp_path / "b", ranker(), RAW, **FACTS) == sha256_file(tmp_path / "a" / "manifest.json")
    assert one != save_bundle(tmp_path / "c", ranker(), RAW, **{**FACTS, "snapshot_id": "other"})


def test_a_stored_bundle_stands_under_its_name_once(tmp_path):
    names = [store_bundle(tmp_path, ranker(), RAW, **FACTS) for _ in range(2)]
    assert [path.name for path in tmp_path.iterdir()] == [names[0]] == [names[1]]


def test_recommend_ranks_all_unseen_items_and_skips_unknown_ids(folder):
    bundle = load_bundle(folder)
    history = [RAW[0], "never heard of", RAW[4]]
    listed = bundle.recommend(history, k=100)
    assert {item for item, _ in listed} == set(RAW) - {RAW[0], RAW[4]}
    assert [score for _, score in listed] == sorted((score for _, score in listed), reverse=True)
    assert listed == bundle.recommend([RAW[0], RAW[4]], k=100)
    assert len(bundle.recommend(history, k=100, filter_seen=False)) == ITEMS
    assert bundle.recommend(history, k=3) == listed[:3]


def test_hidden_items_are_in_no_list_of_any_kind(folder):
    bundle = load_bundle(folder)
    for history in ([RAW[0], RAW[4]], ["nobody"]):
        everything = [item for item, _ in bundle.recommend_many([history], [100])[0]]
        off = everything[:3]
        listed = [item for item, _ in bundle.recommend_many([history], [100], hidden=[*off, "no such item"])[0]]
        assert listed == everything[3:]


def test_an_integer_id_is_its_decimal_text(folder):
    bundle = load_bundle(folder)
    assert bundle.recommend([2**53 + 2], k=3) == bundle.recommend([str(2**53 + 2)], k=3)
    assert bundle.recommend([2**53 + 2], k=3) != bundle.recommend([2**53 + 4], k=3)


@pytest.mark.parametrize("history", [[], ["unknown"]])
def test_without_a_known_item_the_list_is_popularity(folder, history):
    assert load_bundle(folder).recommend(history, k=2) == [(RAW[24], 1.0), (RAW[23], 0.5)]


def test_a_long_history_is_cut_to_its_newest_items(folder):
    bundle = load_bundle(folder)
    long = Batch.from_lists([list(range(1, 20))])
    torch.testing.assert_close(bundle.user_vectors(long), bundle.user_vectors(Batch.from_lists([list(range(14, 20))])))


def test_the_ranker_comes_back_and_grows(folder):
    bundle, model = load_bundle(folder), ranker()
    same = bundle.ranker(inputs())
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in model.state_dict().items())
    grown = bundle.ranker(inputs(30)).eval()
    assert torch.equal(grown.all_item_vectors()[: ITEMS + 1], bundle.item_matrix)
    with pytest.raises(DataContractError, match="inputs for 20 items, the bundle has 25"):
        bundle.ranker(inputs(20))


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "item_matrix.safetensors", "item_vocabulary.parquet"])
@pytest.mark.parametrize("fault", ["missing", "was changed"])
def test_a_missing_or_changed_file_is_named(folder, name, fault):
    if fault == "missing":
        (folder / name).unlink()
    else:
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(data)
    with pytest.raises(DataContractError, match=f"{name} (is )?{fault}"):
        load_bundle(folder)


def test_a_bundle_without_manifest_or_of_another_name_is_refused(folder):
    with pytest.raises(DataContractError, match=r"manifest.json has sha256 [0-9a-f]+, not abc"):
        load_bundle(folder, expected="abc")
    (folder / "manifest.json").unlink()
    with pytest.raises(DataContractError, match=r"manifest.json is missing"):
        load_bundle(folder)


def resign(folder):
    files = [path for path in folder.iterdir() if path.name != "manifest.json"]
    write_atomic(folder / "manifest.json", canonical_json({path.name: sha256_file(path) for path in files}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("items", 24, r"tensor items has shape \[26, 8\] where config.json says \[25, 8\]"),
        ("text_width", 7, "items.text.weight"),
    ],
)
def test_widths_that_do_not_fit_the_configuration_are_named(folder, key, value, message):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    resign(folder)
    with pytest.raises(DataContractError, match=message):
        load_bundle(folder)


def test_a_file_that_is_no_safetensors_file_is_named(folder):
    (folder / "weights.safetensors").write_bytes(b"PK broken")
    resign(folder)
    with pytest.raises(DataContractError, match=r"weights.safetensors cannot be read"):
        load_bundle(folder)


def test_raw_ids_that_do_not_match_the_table_are_refused(tmp_path):
    with pytest.raises(DataContractError, match="3 raw ids for a ranker of 25 items"):
        save_bundle(tmp_path, ranker(), RAW[:3], **FACTS)
