"""A ranker that starts from a causal model's folder: trained from its weights, resumed, and whole without the folder after."""

import shutil

import numpy as np
import pytest
import torch

from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.text.pretrained import pretrained_model
from nightrank.trainer.config.job import Job
from nightrank.trainer.config.pretrained import with_architectures
from nightrank.trainer.worker.phases import train
from tests.text_models import tiny_gpt2
from tests.training_jobs import Stopped, job_of, small_lake, stop_after, training_of

HISTORIES = [["i1", "i2", "i3"], ["i40"], ["i7", "i9"]]


def job_in(root, snapshot, folder, run_id) -> Job:
    changes = {
        "model": {"encoder": {"name": "causal_lm", "model": str(folder)}},
        "batch_rows": 15,
        "fit": {"epochs": 4, "learning_rate": 1e-2, "patience": None},
        "optimizer": {"text_rate": 1.0},
        "checkpoint": {"every_steps": 2},
    }
    job = job_of(root, snapshot, changes, run_id=run_id)
    return job.model_copy(update={"config": with_architectures(job.config, job.text)})


def weights(training) -> dict:
    return {name: value.clone() for name, value in training.ranker.encoder.model.state_dict().items()}


def test_a_causal_model_trains_from_its_folder_resumes_and_scores_the_same_when_the_folder_is_gone(tmp_path, monkeypatch):
    folder, snapshot = tiny_gpt2(tmp_path / "gpt2", width=24), small_lake(tmp_path, users=60)
    training = training_of(job_in(tmp_path, snapshot, folder, "whole"))
    plain, start = pretrained_model(folder).state_dict(), weights(training)
    assert start and all(torch.equal(value, plain[name]) for name, value in start.items())
    state = train(training)
    loss = state.curves["fit"].loss
    assert np.mean(loss[-3:]) < 0.95 * np.mean(loss[:3])
    end = weights(training)
    assert not any(torch.equal(end[name], start[name]) for name in start if name.endswith("attn.weight"))

    job = job_in(tmp_path, snapshot, folder, "stopped")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 5)
        train(training_of(job))
    resumed = train(training_of(job))
    assert resumed.resumed_from and resumed.bundles == state.bundles

    stored = tmp_path / "models" / state.bundles["live"]
    before = load_bundle(stored).recommend_many(HISTORIES, [10] * 3)
    shutil.rmtree(folder)
    bundle = load_bundle(stored)
    assert bundle.recommend_many(HISTORIES, [10] * 3) == before and len(before[0]) == 10
    batch = Batch.from_lists([[1, 2, 3], [40], [7, 9]])
    with torch.no_grad():
        torch.testing.assert_close(bundle.user_vectors(batch), training.ranker.eval().user_vectors(batch))
