"""Rankers that read features: what a batch is filled with, that it reaches the states, and that a bundle keeps all of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nightrank.feature_store.as_of import Cumulative
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Attribute, Features
from nightrank.ranker.batch import SIDE, Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.files import FILES, ITEM_FEATURES
from nightrank.ranker.bundle.store import save_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.features import AttributeCodes, FeatureTables, coded
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.loop.reorder import reordered
from nightrank.trainer.loop.step import rows_between

DAY = 86_400_000_000
ITEMS = 9
FEATURES = Features(
    user=("count_7d", "recency_days"),
    item=("view_28d",),
    attributes=(Attribute(name="country", values=("de", "fr")),),
    timezone="UTC",
)
READERS = ("transformer", "gru", "lstm", "hstu", "bert4rec", "towers")


def tables() -> FeatureTables:
    users = Cumulative(np.array([1, 1, 2]), np.array([1, 3, 2]), np.array([[2], [5], [1]], np.int32))
    items = Cumulative(np.array([4, 4]), np.array([1, 2]), np.array([[3], [4]], np.int32))
    codes = AttributeCodes(np.array([1, 2]), np.array([[2], [1]], np.int32), np.array([3 * DAY, 0]))
    return FeatureTables(FEATURES, users, items, codes)


def batch() -> Batch:
    times = [[DAY + 5, 2 * DAY, 4 * DAY], [2 * DAY + 1, 3 * DAY]]
    return Batch.from_lists([[4, 4, 5], [6, 4]], [[2, 3, 2], [2, 2]], times, users=[1, 2])


def ranker_of(name: str, features: Features | None = FEATURES, seed: int = 3):
    encoder = {"name": name, "max_length": 4, "dropout": 0.0}
    config = RankerConfig.model_validate({"width": 8, "encoder": encoder})
    return compose(config, ItemInputs(ITEMS, features=features), seed=seed).eval()


def test_each_token_sees_what_was_known_when_its_day_began():
    filled = tables().fill(batch())
    counts = [0, 2, 5, 0, 1]
    recency = [365, 1, 1, 365, 1]
    wanted = 0.25 * np.log1p(np.stack([counts, recency], axis=1))
    np.testing.assert_allclose(filled.user_inputs_TF.numpy(), wanted, rtol=1e-6)
    np.testing.assert_allclose(filled.item_inputs_TF[:, 0].numpy(), 0.25 * np.log1p([0, 3, 0, 0, 4]), rtol=1e-6)
    assert filled.attributes_TA[:, 0].tolist() == [0, 0, 2, 1, 1], "known from the third day on, and from the first"


def test_a_token_of_an_unknown_time_knows_nothing():
    filled = tables().fill(replace(batch(), times_T=torch.zeros(5, dtype=torch.int64)))
    assert filled.item_inputs_TF.abs().sum() == 0
    assert filled.user_inputs_TF[:, 0].abs().sum() == 0


def test_the_share_of_tokens_of_which_something_was_known_is_counted():
    filling = tables()
    filling.fill(batch())
    assert filling.facts()["known"] == {"user": 0.6, "item": 0.4, "attributes": 0.6}


def test_batches_carry_what_is_beside_the_tokens():
    filled = tables().fill(batch())
    for cut in (filled.newest(2), filled.without_last(), rows_between(filled, 1, 2), filled.cut_at(torch.tensor([2, 1]))):
        again = tables().fill(replace(cut, **dict.fromkeys(SIDE)))
        for name in SIDE:
            assert torch.equal(getattr(cut, name), getattr(again, name)), name
    assert filled.to("cpu").attributes_TA.dtype == torch.int64


def test_an_item_takes_its_features_along_when_events_change_places():
    torch.manual_seed(0)
    of_items = torch.arange(5.0)[:, None]
    moved = reordered(replace(batch(), items_T=torch.arange(5), item_inputs_TF=of_items, user_inputs_TF=of_items), 5.0)
    assert moved.items_T.tolist() != [0, 1, 2, 3, 4]
    assert torch.equal(moved.item_inputs_TF[:, 0], moved.items_T.float())
    assert torch.equal(moved.user_inputs_TF, of_items), "of the user and the day, which stay"


@pytest.mark.parametrize("name", [name for name in READERS if name != "towers"])
def test_a_ranker_starts_as_the_one_without_features_and_learns_from_them(name):
    plain, reads = ranker_of(name, None), ranker_of(name)
    filled = tables().fill(batch())
    assert torch.equal(plain.user_vectors(batch()), reads.user_vectors(filled))
    (reads.user_states(reads.encoder.query_batch(filled)) * torch.arange(8.0)).sum().backward()
    grown = [parameter for key, parameter in reads.named_parameters() if ".side." in key]
    assert len(grown) == 3 and all(float(parameter.grad.abs().sum()) > 0 for parameter in grown)


@pytest.mark.parametrize("name", READERS)
def test_every_input_reaches_the_states(name):
    ranker, filled = ranker_of(name), tables().fill(batch())
    with torch.no_grad():
        for key, parameter in ranker.named_parameters():
            if ".side." in key:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    before = ranker.user_vectors(filled)
    for field in SIDE:
        other = getattr(filled, field) + 1 if field != "attributes_TA" else 2 - getattr(filled, field)
        assert not torch.allclose(ranker.user_vectors(replace(filled, **{field: other})), before), field
    with pytest.raises(DataContractError, match="the ranker reads features, the batch has no"):
        ranker.user_vectors(batch())


def test_a_hidden_item_is_not_told_by_its_features():
    encoder = ranker_of("bert4rec").encoder
    torch.manual_seed(1)
    query = encoder.targets(tables().fill(batch())).inputs
    hidden = query.items_T == 0
    assert hidden.any() and query.item_inputs_TF[hidden].abs().sum() == 0


@pytest.mark.parametrize("name", READERS)
def test_a_bundle_keeps_names_codes_and_the_items_sums(tmp_path, name):
    ranker, filling = ranker_of(name), tables()
    raw = [f"i{item}" for item in range(1, ITEMS + 1)]
    digest = save_bundle(tmp_path / "b", ranker, raw, snapshot_id="s", lineage="l", of_items=filling.item)
    bundle = load_bundle(tmp_path / "b", digest)
    assert bundle.info.features == FEATURES
    assert bundle.of_items.keys.tolist() == filling.item.keys.tolist()
    filled = filling.fill(batch())
    torch.testing.assert_close(bundle.user_vectors(filled), ranker.user_vectors(filled).detach())
    again = bundle.ranker(ItemInputs(ITEMS + 1, features=None))
    assert again.shapes.features == FEATURES, "a night goes on with the champion's"
    changed = (tmp_path / "b" / ITEM_FEATURES).read_bytes()
    (tmp_path / "b" / ITEM_FEATURES).write_bytes(changed[:-1] + b"x")
    with pytest.raises(DataContractError, match=f"{ITEM_FEATURES} was changed"):
        assert load_bundle(tmp_path / "b", digest).of_items


def test_a_bundle_without_features_reads_as_before(tmp_path):
    save_bundle(tmp_path / "b", ranker_of("gru", None), [str(i) for i in range(ITEMS)], snapshot_id="s", lineage="l")
    assert '"features"' not in (tmp_path / "b" / "config.json").read_text()
    assert {path.name for path in (tmp_path / "b").iterdir()} == {*FILES, "manifest.json"}
    assert load_bundle(tmp_path / "b").of_items is None


def test_attributes_are_coded_by_the_rankers_own_lists():
    found = coded(FEATURES, [{"country": "fr"}, {"country": "es"}, {}])
    assert found.tolist() == [[2], [0], [0]]
