"""A text encoder tuned with the ranker: what it starts from, what moves, what is kept, how a night goes on."""

import numpy as np
import pytest
import torch

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.contracts.snapshot import Parent
from nightrank.feature_store.text_model import text_model
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.inputs import ItemInputs, Tokens
from nightrank.ranker.text.config import TextTuningConfig
from nightrank.ranker.text.open_tower import open_tower
from nightrank.ranker.text.pretrained import pretrained_model, tuned
from nightrank.trainer.incremental.moments import LIVE
from nightrank.trainer.loop.text import base_revision, text_revision
from nightrank.trainer.ranks.device import Device, choose_attention
from nightrank.trainer.worker.phases import train
from tests.text_models import WORDS, text_inputs, texts, tiny_bert, tiny_gpt2, vectors
from tests.training_jobs import ITEMS, Stopped, job_of, stop_after, training_of
from tests.training_lake import leave_one_out, synthetic_sequences, write_snapshot

USERS = 60
LORA = {"name": "lora", "rank": 2, "items_per_step": 12}


def changes(text, **model):
    return {
        "model": {"width": 16, "item": {"text": text}, "encoder": {"blocks": 1}, **model},
        "batch_rows": 16,
        "fit": {"epochs": 2, "learning_rate": 1e-2, "warmup_steps": 2, "patience": None},
        "refit": {"epochs": 1, "warmup_steps": 1},
        "optimizer": {"text_rate": 1.0},
        "checkpoint": {"every_steps": 2},
    }


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def lake(tmp_path_factory, bert):
    root, tokens = tmp_path_factory.mktemp("lake"), texts(ITEMS)
    rows = leave_one_out(synthetic_sequences(USERS, ITEMS))
    revision = text_model(TextSettings(encoder=str(bert))).revision
    snapshot = write_snapshot(
        root, rows, ITEMS, USERS, text=vectors(bert, tokens), tokens=tokens, text_revision=revision, rows_per_file=50
    )
    return root, snapshot


def job(lake, bert, text, run_id, **more):
    root, snapshot = lake
    return job_of(root, snapshot, changes(text), run_id=run_id, **more).model_copy(
        update={"text": TextSettings(encoder=str(bert))}
    )


def inputs(bert, items=ITEMS):
    return text_inputs(bert, items, USERS)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_an_untrained_tower_gives_the_cached_vectors(bert, name):
    known = inputs(bert)
    tower = open_tower(bert, TextTuningConfig(name=name, batch_tokens=64), known, seed=1)
    with_text = (tower.lengths > 0).nonzero().flatten()
    torch.testing.assert_close(tower.without_gradient(with_text), known.text[with_text], atol=1e-5, rtol=0)


def test_a_step_encodes_so_many_items_anew_and_only_they_move_the_encoder(bert):
    config = RankerConfig(width=16, item={"text": {**LORA, "items_per_step": 3}, "use_id": False})
    ranker = compose(config, inputs(bert), seed=2, text_encoder=bert)
    named = torch.tensor([5, 1, 2, 3, 4, 6, 7, 7])
    with ranker.items.renewed(named):
        fresh, _ = ranker.items._fresh
        assert len(fresh) == 3 and 5 not in fresh and set(fresh.tolist()) <= set(named.tolist())
        ranker.items(torch.arange(ITEMS + 1)).square().sum().backward()
    moved = {n for n, p in ranker.items.text_tower.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved and all("lora_B" in name for name in moved)  # A has no gradient while B is zero
    assert ranker.items._fresh is None
    before = ranker.items(fresh)
    ranker.eval()
    with ranker.items.renewed(named):
        torch.testing.assert_close(ranker.items(fresh), before)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_gradient_checkpointing_computes_each_layer_twice_and_gives_the_same_gradients(bert, name):
    grads = []
    for on in (False, True):
        tower = open_tower(bert, TextTuningConfig(name=name, gradient_checkpointing=on), inputs(bert), seed=1).train()
        assert tower.model.is_gradient_checkpointing is on
        computed = []
        tower.model.encoder.layer[0].attention.register_forward_hook(lambda *_, computed=computed: computed.append(1))
        tower(torch.tensor([1, 2, 3])).square().sum(0)[:4].sum().backward()
        assert len(computed) == (2 if on else 1)
        grads.append([p.grad.clone() for p in tower.parameters() if p.grad is not None])
    assert any(grad.any() for grad in grads[0])
    for plain, again in zip(*grads, strict=True):
        torch.testing.assert_close(plain, again)


def test_adapters_are_drawn_from_the_seed_and_leave_torchs_own_generator_alone(bert):
    torch.manual_seed(5)
    one, two, other = (tuned(pretrained_model(bert), TextTuningConfig(name="lora"), seed) for seed in (1, 1, 2))
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(3))
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("bf16", [True, False])
def test_on_a_cpu_in_bf16_attention_is_plain_products_with_the_same_states(bert, bf16):
    model, ids = pretrained_model(bert), torch.tensor([[1, 7, 9, 2], [1, 8, 2, 0]])
    mask = (ids > 0).long()
    before = model(input_ids=ids, attention_mask=mask).last_hidden_state
    choose_attention(torch.nn.ModuleDict({"deep": torch.nn.Sequential(model)}), Device(torch.device("cpu"), bf16))
    assert model.config._attn_implementation == ("eager" if bf16 else "sdpa")
    now = model(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(now[mask.bool()], before[mask.bool()], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["lora", "full"])
def test_a_tuned_encoder_trains_resumes_to_the_same_bytes_and_has_a_revision_of_its_own(lake, bert, monkeypatch, name):
    root, snapshot = lake
    text = {**LORA, "name": name}
    training = training_of(job(lake, bert, text, f"{name}-whole"))
    before = training.ranker.items.text_matrix.clone()
    undisturbed = train(training)
    assert np.mean(undisturbed.curves["fit"].loss[-3:]) < np.mean(undisturbed.curves["fit"].loss[:3])
    tower = training.ranker.items.text_tower
    with_text = (tower.lengths > 0).nonzero().flatten()
    assert not torch.allclose(training.ranker.items.text_matrix[with_text], before[with_text], atol=1e-3)
    with training.device.autocast():
        now = tower.without_gradient(with_text)
    torch.testing.assert_close(training.ranker.items.text_matrix[with_text], now, atol=2e-2, rtol=0)

    job_ = job(lake, bert, text, f"{name}-stopped")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 5)
        train(training_of(job_))
    resumed = train(training_of(job_))
    assert resumed.resumed_from and resumed.bundles == undisturbed.bundles

    bundle = load_bundle(root / "models" / resumed.bundles["live"])
    assert base_revision(bundle.info.text_revision) == snapshot.text_revision != bundle.info.text_revision
    assert bundle.info.text_revision == text_revision(training.ranker, snapshot.text_revision)
    stored = [key for key in bundle.weights if key.startswith("items.text_tower.")]
    assert stored and all("lora_" in key for key in stored) is (name == "lora")
    assert len(bundle.recommend(["i1", "i2"], k=5)) == 5


def test_a_night_goes_on_from_the_tuned_encoder_and_encodes_new_items_with_it(lake, bert, tmp_path):
    root, snapshot = lake
    state = train(training_of(job(lake, bert, LORA, "base")))
    digest = state.bundles["live"]
    bundle = load_bundle(root / "models" / digest)
    with pytest.raises(ConfigError, match="there is none"):
        bundle.ranker(inputs(bert, ITEMS + 4))
    grown = bundle.ranker(inputs(bert, ITEMS + 4), bert)
    torch.testing.assert_close(grown.items.text_matrix[: ITEMS + 1], bundle.weights["items.text_matrix"], atol=0, rtol=0)
    new = torch.tensor([i for i in range(ITEMS + 1, ITEMS + 5) if i % 5])
    torch.testing.assert_close(grown.items.text_matrix[new], grown.items.text_tower.without_gradient(new))

    parent = Parent(
        version=1,
        bundle=f"models/{digest}",
        checkpoint="checkpoints/base",
        lineage=bundle.info.lineage,
        snapshot_id=snapshot.id,
    )
    night = job(lake, bert, LORA, "night", kind="nightly", parent=parent)
    assert (root / "checkpoints" / "base" / f"{LIVE}.json").exists()
    after = load_bundle(root / "models" / train(training_of(night)).bundles["live"])
    assert base_revision(after.info.text_revision) == snapshot.text_revision
    assert after.info.text_revision != bundle.info.text_revision


def test_another_encoder_than_the_snapshots_is_refused(lake, bert, tmp_path):
    wrong = job(lake, bert, LORA, "wrong").model_copy(update={"text": TextSettings(encoder=str(bert), max_tokens=64)})
    with pytest.raises(DataContractError, match="is not the encoder of the texts of snapshot"):
        training_of(wrong)
    narrow = inputs(bert)
    with pytest.raises(DataContractError, match="gives vectors of width 8, the snapshot has width 16"):
        open_tower(tiny_gpt2(tmp_path / "gpt2", width=8), TextTuningConfig(name="lora"), narrow, seed=1)


def test_a_gpt_class_encoder_without_a_pad_token_is_tuned_too(bert, tmp_path):
    tower = open_tower(tiny_gpt2(tmp_path / "gpt2"), TextTuningConfig(name="lora"), inputs(bert), seed=1)
    ids = torch.tensor([1, 2, 3])
    together, alone = tower(ids), torch.cat([tower(i.unsqueeze(0)) for i in ids])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_a_folder_without_a_model_and_a_token_beyond_the_encoder_are_named(bert, tmp_path):
    with pytest.raises(ConfigError, match="holds no model that can be opened"):
        pretrained_model(tmp_path)
    known = inputs(bert)
    beyond = Tokens(known.tokens.flat + WORDS, known.tokens.offsets)
    with pytest.raises(DataContractError, match=f"is beyond the {WORDS} of text encoder"):
        open_tower(bert, TextTuningConfig(name="lora"), ItemInputs(ITEMS, text=known.text, tokens=beyond), seed=1)
