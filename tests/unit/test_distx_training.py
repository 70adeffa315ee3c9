"""Weights in bf16, and ranks that meet now and then, in whole trainings: they learn, resume bit for bit, leave bundles."""

import pytest
import torch

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.loop.optim import trainable
from nightrank.trainer.ranks.device import Device, choose_device
from nightrank.trainer.worker.phases import train
from nightrank.trainer.worker.session import prepare
from tests.thread_world import on_ranks
from tests.training_jobs import Stopped, job_of, small_lake, stop_after, training_of

HALF = {"precision": "auto", "optimizer": {"name": "anyprecision_adamw"}}
SLOW = {"slowmo": {"every": 4, "momentum": 0.3}, "refit": {"epochs": 0}, "fit": {"epochs": 2}}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


def half_training(lake, run_id, **changes):
    training = training_of(job_of(*lake, {**HALF, **changes}, run_id=run_id))
    training.device = Device(torch.device("cpu"), bf16=True)
    return training


@pytest.fixture(scope="module")
def in_halves(lake):
    training = half_training(lake, "halves")
    return training, train(training)


def test_weights_and_moments_are_bf16_and_learn_what_fp32_learns(lake, in_halves):
    training, state = in_halves
    whole = train(training_of(job_of(*lake, run_id="whole")))
    assert {value.dtype for value in trainable(training.ranker).values()} == {torch.bfloat16}
    state_bytes = sum(v.nbytes for v in training.optimizer.tensors().values())
    weights = sum(v.numel() for v in trainable(training.ranker).values())
    assert state_bytes == pytest.approx(6 * weights, rel=0.01)
    assert state.curves["fit"].loss[-1] == pytest.approx(whole.curves["fit"].loss[-1], rel=0.03)
    assert state.curves["fit"].loss[-1] < state.curves["fit"].loss[0] - 0.1
    assert choose_device(training.job.config, 0).bf16


def test_a_bundle_of_bf16_weights_holds_fp32(lake, in_halves):
    bundle = load_bundle(lake[0] / "models" / in_halves[1].bundles["live"])
    assert {value.dtype for value in bundle.weights.values() if value.is_floating_point()} == {torch.float32}


def test_bf16_weights_resume_bit_for_bit(lake, in_halves, monkeypatch):
    every = {"checkpoint": {"every_steps": 3}}
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 10)
        train(half_training(lake, "stopped", **every))
    state = train(half_training(lake, "stopped", **every))
    assert state.resumed_from and state.bundles == in_halves[1].bundles


def slow(lake, run_id, communicator=None, **changes):
    return training_of(job_of(*lake, {**SLOW, **changes}, run_id=run_id), communicator)


def test_ranks_that_meet_are_equal_and_step_by_themselves_between(lake):
    def work(world):
        training = prepare(job_of(*lake, {**SLOW, "batch_rows": 16}, run_id="meet"), world, *_progress_and_device())
        seen, sums = training.optimizer.end_step, []

        def weights():
            return float(sum(p.detach().sum() for p in trainable(training.ranker).values()))

        def end_step(communicator, rate, last=False):
            before = weights()
            seen(communicator, rate, last)
            sums.append((before, weights(), training.optimizer.apart))

        training.optimizer.end_step = end_step
        state = train(training)
        return sums, state.curves["fit"].loss

    (first, losses), (second, others) = on_ranks(2, work)
    assert losses == others and losses[-1] < losses[0]
    assert [apart for *_, apart in first[:10]] == [True, True, True, False, True, True, True, False, True, False]
    for mine, theirs in zip(first, second, strict=True):
        assert mine[0] != theirs[0]
        assert (mine[1] == theirs[1]) == (not mine[2])


def _progress_and_device():
    from nightrank.trainer.ranks.watchdog import Progress
    from tests.training_jobs import CPU

    return Progress(), CPU


def test_one_rank_without_momentum_is_plain_adamw(lake):
    plain = train(training_of(job_of(*lake, {"fit": {"epochs": 2}, "refit": {"epochs": 0}}, run_id="plain")))
    alone = train(slow(lake, "alone", slowmo={"every": 4, "momentum": 0.0}))
    assert alone.curves["fit"].loss == pytest.approx(plain.curves["fit"].loss, rel=1e-4)


def test_slowmo_checkpoints_only_where_ranks_meet_and_resumes_bit_for_bit(lake, monkeypatch):
    whole = train(slow(lake, "slow"))
    every = {"checkpoint": {"every_steps": 1}}
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 7)
        train(slow(lake, "slow-stopped", **every))
    state = train(slow(lake, "slow-stopped", **every))
    assert state.resumed_from == ["fit step 4"]
    assert state.bundles == whole.bundles


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "fp32", "optimizer": {"name": "anyprecision_adamw"}}, "anyprecision_adamw computes in bf16"),
        ({"slowmo": {"every": 4}, "optimizer": {"name": "anyprecision_adamw"}}, "slowmo averages fp32 weights"),
        ({"slowmo": {"every": 0}}, "every"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        validate(TrainerConfig, settings)
