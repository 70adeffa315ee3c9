"""Every named model, made small: trains by the same loop, resumes to the same bytes, is loaded and lists, grows for a night."""

from pathlib import Path

import numpy as np
import pytest

from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.config.pretrained import with_architectures
from nightrank.trainer.worker.phases import train
from tests.named_models import NAMES, small
from tests.text_models import text_inputs, texts, tiny_bert, vectors
from tests.training_jobs import ITEMS, Stopped, job_of, stop_after, training_of
from tests.training_lake import leave_one_out, synthetic_sequences, write_snapshot

USERS = 120


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root, bert, tokens = tmp_path_factory.mktemp("lake"), tiny_bert(tmp_path_factory.mktemp("bert")), texts(ITEMS)
    rows, text = leave_one_out(synthetic_sequences(USERS, ITEMS)), TextSettings(encoder=str(bert))
    snapshot = write_snapshot(
        root,
        rows,
        ITEMS,
        USERS,
        text=vectors(bert, tokens),
        tokens=tokens,
        text_revision=text_model(text).revision,
        rows_per_file=50,
    )
    return root, snapshot, text


def job(lake, name, run_id):
    root, snapshot, text = lake
    plain = job_of(root, snapshot, small(name), run_id=run_id)
    return plain.model_copy(update={"text": text, "config": with_architectures(plain.config, text)})


def test_there_are_models():
    assert len(NAMES) >= 11


@pytest.mark.parametrize("name", NAMES)
def test_a_named_model_trains_resumes_loads_lists_and_grows(lake, monkeypatch, name):
    root, _, text = lake
    undisturbed = train(training_of(job(lake, name, f"{name}-whole")))
    losses = undisturbed.curves["fit"].loss
    assert np.isfinite(losses).all() and np.mean(losses[-4:]) < np.mean(losses[:4])

    stopped = job(lake, name, f"{name}-stopped")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 7)
        train(training_of(stopped))
    resumed = train(training_of(stopped))
    assert resumed.resumed_from and resumed.bundles == undisturbed.bundles

    bundle = load_bundle(root / "models" / resumed.bundles["live"])
    listed = bundle.recommend(["i1", "i2", "nobody"], k=5)
    assert len({item for item, _ in listed} - {"i1", "i2"}) == 5
    assert [score for _, score in listed] == sorted((score for _, score in listed), reverse=True)
    grown = bundle.ranker(text_inputs(Path(text.encoder), ITEMS + 3, USERS + 2))
    assert grown.all_item_vectors().shape == (ITEMS + 4, bundle.head.width)
