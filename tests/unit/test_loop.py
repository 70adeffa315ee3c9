"""The loop on real snapshots in one process: what is counted, when it stops, how it resumes."""

from collections.abc import Iterator

import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.loop import fit as loop
from nightrank.trainer.loop.fit import fit
from nightrank.trainer.loop.source import MixedSource, PartSource
from nightrank.trainer.loop.validation import Validator
from nightrank.trainer.ranks.faults import DivergedError
from nightrank.trainer.worker.phases import FIT, build_phase, train
from nightrank.trainer.worker.session import result
from tests.thread_world import on_ranks
from tests.training_jobs import CPU, Stopped, job_of, small_lake, stop_after, training_of


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


def curves(state):
    return {name: curve.model_dump() for name, curve in state.curves.items()}


@pytest.fixture(scope="module")
def undisturbed(lake):
    root, snapshot = lake
    training = training_of(job_of(root, snapshot, run_id="undisturbed"))
    return training, train(training)


def test_a_full_run_learns_and_leaves_two_bundles(undisturbed, lake):
    training, state = undisturbed
    valid = state.curves["fit"].valid
    assert valid[-1]["ndcg@10"] > 2 * 0.045  # what a random list reaches: sum of discounts / 60 items
    assert state.curves["fit"].loss[-1] < state.curves["fit"].loss[0]
    assert set(state.bundles) == {"measured", "live"}
    assert state.epochs == {"fit": 3, "refit": 1}
    live = load_bundle(lake[0] / "models" / state.bundles["live"])
    assert live.info.lineage == training.lineage


def test_every_row_is_read_once_an_epoch(undisturbed, lake):
    training, state = undisturbed
    snapshot = lake[1]
    source = build_phase(training, "refit").source
    assert state.rows_read == [3 * snapshot.rows("train") + source.rows(0)]


@pytest.mark.parametrize("steps", [1, 7, 10, 17, 31])
def test_stopped_and_resumed_gives_the_same_curve_and_the_same_bundle_bit_for_bit(lake, undisturbed, monkeypatch, steps):
    root, snapshot = lake
    job = job_of(root, snapshot, {"checkpoint": {"every_steps": 3}}, run_id=f"stopped-{steps}")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, steps)
        train(training_of(job))
    state = train(training_of(job))
    assert curves(state) == curves(undisturbed[1])
    assert state.bundles == undisturbed[1].bundles
    assert state.rows_read == undisturbed[1].rows_read
    assert bool(state.resumed_from) == (steps > 3)


def test_a_checkpoint_made_with_other_settings_is_passed_over(lake, monkeypatch, capsys):
    root, snapshot = lake
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 8)
        train(training_of(job_of(root, snapshot, {"checkpoint": {"every_steps": 2}}, run_id="other")))
    training = training_of(job_of(root, snapshot, {"optimizer": {"clip_norm": 0.5}}, run_id="other"))
    assert not training.resume(None)
    assert "another config" in capsys.readouterr().err


@pytest.mark.parametrize(("first", "then"), [("petastorm", "arrow"), ("arrow", "petastorm")])
def test_a_run_resumed_with_the_other_reader_ends_in_the_same_bundle_bit_for_bit(lake, undisturbed, monkeypatch, first, then):
    root, snapshot = lake
    changes = {"checkpoint": {"every_steps": 3}}
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(patched, 7)
        train(training_of(job_of(root, snapshot, {**changes, "reader": first}, run_id=f"{first}-first")))
    training = training_of(job_of(root, snapshot, {**changes, "reader": then}, run_id=f"{first}-first"))
    state = train(training)
    assert state.resumed_from == ["fit step 6"]
    assert state.bundles == undisturbed[1].bundles
    assert curves(state) == curves(undisturbed[1])
    assert result(training, state, 1.0)["training"]["reader"] == then


def test_training_stops_when_validation_does_not_get_better(lake):
    root, snapshot = lake
    changes = {"fit": {"epochs": 9, "patience": 2}}
    training = training_of(job_of(root, snapshot, changes, run_id="patient"))
    phase = build_phase(training, FIT)
    values = iter([0.5, 0.7, 0.6, 0.7])

    class Given:
        config = training.job.config.validation

        def __call__(self, ranker) -> dict[str, float]:
            value = next(values)
            return {"ndcg@10": value, "recall@10": value, "n": 300.0}

    fit(loop.Phase(phase.name, phase.config, phase.source, phase.step, Given()), training)
    assert (training.state.epoch, training.state.best.epoch, training.state.phase_done) == (4, 2, True)
    assert training.folder.load("best-fit").state.epoch == 2


def test_a_loss_that_is_no_number_stops_before_any_weight_moved_and_the_last_good_checkpoint_is_kept(lake, monkeypatch):
    root, snapshot = lake
    training = training_of(job_of(root, snapshot, {"checkpoint": {"every_steps": 1}}, run_id="nan"))
    phase = build_phase(training, FIT)
    stock, before = phase.step._update, {}

    def breaks_after_two_steps(loss: float, weight: float, step: int, rate: float) -> float:
        if step == 2:
            before.update({name: value.clone() for name, value in training.ranker.state_dict().items()})
        return stock(loss if step < 2 else float("nan"), weight, step, rate)

    monkeypatch.setattr(phase.step, "_update", breaks_after_two_steps)
    with pytest.raises(DivergedError, match=r"step 2: .*rank 0 had \d+ rows of users \d+, \d+"):
        fit(phase, training)
    after = training.ranker.state_dict()
    assert before and all(torch.equal(before[name], after[name]) for name in before)
    again = training_of(job_of(root, snapshot, {"checkpoint": {"every_steps": 1}}, run_id="nan"))
    assert again.resume(None) and again.state.step == 2
    assert all(torch.equal(again.ranker.state_dict()[name], value) for name, value in before.items())


class Short(PartSource):
    """A reader that loses its last batch."""

    def batches(self, epoch: int, start_step: int) -> Iterator:
        *kept, _ = super().batches(epoch, start_step)
        yield from kept
        yield Batch.from_lists([])


def test_an_epoch_with_a_row_too_few_is_an_error(lake):
    root, snapshot = lake
    training = training_of(job_of(root, snapshot, run_id="short"))
    phase = build_phase(training, FIT)
    short = Short(**vars(phase.source))
    with pytest.raises(DataContractError, match="rows were read"):
        fit(loop.Phase(FIT, phase.config, short, phase.step), training)


@pytest.mark.parametrize("start", range(0, 15, 2))
def test_a_mixed_epoch_resumes_at_any_step(lake, start):
    root, snapshot = lake
    parts = [PartSource(snapshot, root, part, 5, 0, 1, 32) for part in ("refit", "train")]
    mixed = MixedSource(*parts, fraction=0.5)
    whole = [batch.users_B.tolist() for batch in mixed.batches(0, 0)]
    assert len(whole) == mixed.steps(0) == 15
    assert sum(map(len, whole)) == mixed.rows(0)
    assert [batch.users_B.tolist() for batch in mixed.batches(0, start)] == whole[start:]


def test_validation_is_the_same_for_any_number_of_ranks(lake, undisturbed):
    root, snapshot = lake
    training = undisturbed[0]
    config = training.job.config.validation

    def fit(world):
        ranker = training_of(job_of(root, snapshot, run_id="none")).ranker
        ranker.load_state_dict(training.ranker.state_dict())
        return Validator(snapshot, root, "valid", config, world, CPU, training.progress)(ranker)

    one, three = on_ranks(1, fit)[0], on_ranks(3, fit)
    assert one["n"] == snapshot.rows("valid")
    assert all(found == pytest.approx(one) for found in three)


class LeavesOut(PartSource):
    """Its plan covers five rows less than the snapshot has."""

    def pinned_rows(self, epoch: int) -> int:
        return super().pinned_rows(epoch) + 5


def test_rows_that_no_rank_read_are_counted_as_dropped(lake, undisturbed):
    root, snapshot = lake
    training = training_of(job_of(root, snapshot, {"fit": {"epochs": 2}}, run_id="left-out"))
    phase = build_phase(training, FIT)
    fit(loop.Phase(FIT, phase.config, LeavesOut(**vars(phase.source)), phase.step), training)
    assert training.state.dropped == 2 * 5
    assert training.state.next_phase("refit").dropped == 2 * 5
    training.state.bundles["live"] = "x"
    assert result(training, training.state, 1.0)["training"]["dropped"] == 10
    assert result(*undisturbed, 1.0)["training"]["dropped"] == 0


def test_the_result_has_what_the_stage_hands_on(undisturbed):
    training, state = undisturbed
    body = result(training, state, 1.5)
    assert body["training"]["steps"] == [state.total_steps]
    assert body["training"]["rows_read"] == state.rows_read
    assert body["model_files"]["measured"].startswith("models/")
    assert body["model_files"]["checkpoint"] == "checkpoints/undisturbed"
    assert set(body["curves"]) == {"fit", "refit"}
    assert set(body["curves"]["fit"]) == {"step", "loss", "lr", "valid"}


def test_saving_a_checkpoint_counts_as_moving(lake, monkeypatch):
    root, snapshot = lake
    training = training_of(job_of(root, snapshot, run_id="moves"))
    doings: list[str] = []
    monkeypatch.setattr(training.progress, "moved", lambda doing, step=None: doings.append(doing))
    for save in (training.save_running, lambda: training.save_as("best-fit")):
        doings.clear()
        training.progress.doing = "fit"
        save()
        assert doings[0] == "saving a checkpoint"
        assert doings[-1] == "fit"
        assert len(doings) >= 2 + len(training.ranker.state_dict())
