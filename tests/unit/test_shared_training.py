"""Whole trainings whose ranks share out the table of items: the same model, bundle and night as with the whole table."""

from itertools import product
from typing import Any

import pytest
import torch

from nightrank.feature_store.contracts.files import read_json
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.worker.phases import train
from tests.row_training import IDS
from tests.shared_training import ADAMW, SHARD, logits, moments, settings, two_steps
from tests.thread_world import on_ranks
from tests.training_jobs import ITEMS, Stopped, job_of, parent_of, small_lake, stop_after, training_of
from tests.training_lake import leave_one_out, synthetic_sequences, write_snapshot


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("shared")
    return root, small_lake(root, users=120)


def run(lake, ranks: int, run_id: str, *changes: dict[str, Any]):
    """Each rank's training after all phases; rank 0's first."""
    root, snapshot = lake
    job = job_of(root, snapshot, settings(*changes), run_id=run_id)

    def work(world):
        training = training_of(job, world)
        train(training)
        return training

    return done([work(SingleProcess())] if ranks == 1 else on_ranks(ranks, work))


def done(results):
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def bundle_of(lake, training, which="live"):
    return load_bundle(lake[0] / "models" / training.state.bundles[which])


@pytest.mark.parametrize("loss", ["sampled_softmax", "full_softmax"])
def test_two_ranks_that_share_out_the_items_train_and_export_what_two_with_all_of_them_do(lake, loss):
    kind = {"loss": {"name": loss}}
    whole = run(lake, 2, f"whole-{loss}", kind)
    parts = run(lake, 2, f"parts-{loss}", kind, SHARD, ADAMW)
    for phase, curve in whole[0].state.curves.items():
        mine = parts[0].state.curves[phase]
        assert mine.loss == pytest.approx(curve.loss, abs=1e-5)
        assert [row["ndcg@10"] for row in mine.valid] == pytest.approx([row["ndcg@10"] for row in curve.valid], abs=1e-6)
    for which in ("measured", "live"):
        one, other = bundle_of(lake, whole[0], which), bundle_of(lake, parts[0], which)
        assert other.weights[IDS].shape == (ITEMS + 1, 16)
        torch.testing.assert_close(other.weights[IDS], one.weights[IDS], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(other.item_matrix, one.item_matrix, atol=1e-5, rtol=1e-4)
        history = one.raw_ids[2:5]
        assert [item for item, _ in other.recommend(history, 5)] == [item for item, _ in one.recommend(history, 5)]
    held = parts[1].ranker.state_dict()[IDS]
    assert torch.equal(bundle_of(lake, parts[1]).weights[IDS][1::2], held)
    left = sorted(path.name for path in (lake[0] / "checkpoints" / f"parts-{loss}").iterdir() if path.name.startswith("bundle"))
    assert left == []


def test_a_sharded_training_that_was_cut_off_ends_in_the_bytes_of_one_that_was_not(lake, monkeypatch):
    whole = run(lake, 2, "undisturbed", SHARD)
    root, snapshot = lake
    job = job_of(root, snapshot, settings(SHARD), run_id="cut-off")
    with monkeypatch.context() as patched:
        stop_after(patched, 3)
        ends = on_ranks(2, lambda world: train(training_of(job, world)))
        assert all(isinstance(end, Stopped) for end in ends)
    again = run(lake, 2, "cut-off", SHARD)
    assert again[0].state.resumed_from == ["fit step 2"]
    assert again[0].state.bundles == whole[0].state.bundles


@pytest.fixture(scope="module")
def saved(lake):
    """By number of ranks: a job some steps into its training, its logits and moments then."""
    root, snapshot = lake

    def some_steps(ranks):
        job = job_of(root, snapshot, settings(SHARD), run_id=f"matrix-{ranks}")

        def work(world):
            training = training_of(job, world)
            two_steps(training)
            dense = {name: value.clone() for name, value in training.optimizer.tensors().items()}
            return logits(training), moments(training), dense, sum(training.state.rows_read)

        return job, done([work(SingleProcess())] if ranks == 1 else on_ranks(ranks, work))[0]

    return {ranks: some_steps(ranks) for ranks in (1, 2, 3, 4)}


@pytest.mark.parametrize(("before", "after"), list(product((1, 2, 3, 4), repeat=2)))
def test_a_checkpoint_of_any_number_of_ranks_is_loaded_by_any_other(saved, before, after):
    job, (scores, state, dense, read) = saved[before]
    body = read_json(next(iter(job.checkpoints.glob("run-*.json"))))
    assert len(body.get("shards", ())) == (before if before > 1 else 0)

    def work(world):
        training = training_of(job, world)
        assert training.resume(None)
        assert (training.state.step_in_epoch, sum(training.state.rows_read)) == (0 if before != after else 2, read)
        return logits(training), moments(training), training.optimizer.tensors()

    for got in done([work(SingleProcess())] if after == 1 else on_ranks(after, work)):
        assert torch.equal(got[0], scores)
        for name, value in state.items():
            assert torch.equal(got[1][name], value), name
        for name, value in dense.items():
            assert torch.equal(got[2][name], value), name
    assert state["step"] == 2 and state["exp_avg"].any()


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("champion", ["whole", "shared"])
def test_a_night_on_shards_starts_from_the_champions_rows_and_moments(tmp_path, ranks, champion):
    lake = (tmp_path, small_lake(tmp_path, users=120))
    trained = run(lake, 2, "champion", *([SHARD] if champion == "shared" else []))
    parent = parent_of(trained[0], trained[0].state)
    bundle = load_bundle(tmp_path / parent.bundle)
    more = ITEMS + 5
    rows = leave_one_out(synthetic_sequences(40, more, 5))
    night = write_snapshot(tmp_path, rows, more, 200, rows_per_file=50, date="2024-06-11")
    job = job_of(tmp_path, night, settings(SHARD), run_id="night", kind="nightly", parent=parent)
    plain = training_of(job_of(tmp_path, night, settings(), run_id="plain", kind="nightly", parent=parent))

    def work(world):
        training = training_of(job, world)
        start = training.ranker.state_dict()[IDS].clone(), {k: v.clone() for k, v in training.table.moments.items()}
        train(training)
        return training, start

    parts = done([work(SingleProcess())] if ranks == 1 else on_ranks(ranks, work))
    for rank, (training, (weight, state)) in enumerate(parts):
        assert torch.equal(weight, plain.ranker.state_dict()[IDS][rank::ranks])
        old = len(range(rank, ITEMS + 1, ranks))
        assert torch.equal(weight[:old], bundle.weights[IDS][rank::ranks])
        assert torch.equal(state["exp_avg"], plain.optimizer.tensors()[f"{IDS}/exp_avg"][rank::ranks])
        assert not state["exp_avg"][old:].any() and state["exp_avg"][:old].any()
        assert load_bundle(tmp_path / "models" / training.state.bundles["live"]).weights[IDS].shape[0] == more + 1
