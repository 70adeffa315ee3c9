"""A night that keeps near its champion's answers: the weight, the counts, and what a whole night makes of them."""

import math

import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.config.training import DistillationConfig
from nightrank.trainer.incremental.distillation import Replayed, adaptive_weight, replayed_of, soft_labels
from nightrank.trainer.loop import fit as loop
from nightrank.trainer.worker.phases import train
from tests.training_jobs import ITEMS, Stopped, job_of, parent_of, small_lake, stop_after, training_of
from tests.training_lake import row, write_snapshot

NEW = 7


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A trained champion of 60 items; a night that teaches something else, and replays some of the champion's users."""
    root = tmp_path_factory.mktemp("lake")
    training = training_of(job_of(root, small_lake(root), {"fit": {"epochs": 2}}, run_id="full"))
    parent = parent_of(training, train(training))
    day = [row(u, [u, (u * 7) % ITEMS + 1, ITEMS + 1 + u % NEW], 1, "train", "day") for u in range(1, 40)]
    replayed = [row(u, [u % 50 + 1, u % 50 + 3, u % 50 + 4], 1, "train", "replay") for u in range(100, 140)]
    snapshot = write_snapshot(root, {"train": [*day, *replayed]}, ITEMS + NEW, 300, kind="nightly", date="2024-01-02", tag="v1")
    return root, parent, snapshot


def night_of(night, run_id, epochs=4, **distillation):
    root, parent, snapshot = night
    changes = {"night": {"epochs": epochs, "learning_rate": 5e-3}, "checkpoint": {"every_steps": 2}}
    if distillation:
        changes["night"]["distillation"] = distillation
    return training_of(job_of(root, snapshot, changes, run_id=run_id, kind="nightly", parent=parent))


@pytest.mark.parametrize(
    ("known_items", "items", "replayed", "new", "weight"),
    [(100, 100, 50, 50, 1.0), (50, 100, 50, 50, math.sqrt(0.5)), (100, 100, 25, 100, 0.5), (90, 100, 30, 40, math.sqrt(0.675))],
    ids=["nothing new", "half of the items new", "a quarter replayed", "both"],
)
def test_the_adaptive_weight_is_that_of_the_paper(known_items, items, replayed, new, weight):
    found = adaptive_weight(0.8, known_items=known_items, items=items, replayed=replayed, new=new)
    assert found == pytest.approx(0.8 * weight)


def test_labels_are_counted_and_replayed_users_named(night):
    root, _, snapshot = night
    found = replayed_of(snapshot, root)
    assert found.users.tolist() == list(range(100, 140))
    assert (found.replayed, found.new) == (40 * 2, 39 * 2)


def test_a_user_with_both_kinds_of_rows_is_refused(tmp_path):
    rows = [row(1, [1, 2], 1, "train", "day"), row(1, [1, 2], 1, "train", "replay")]
    snapshot = write_snapshot(tmp_path, {"train": rows}, 5, 5, kind="nightly")
    with pytest.raises(DataContractError, match="1 users have replayed and new rows, the first is 1"):
        replayed_of(snapshot, tmp_path)


def test_over_an_epoch_the_mean_divergence_counts_the_weight(night):
    champion = night_of(night, "counted").ranker
    counted = Replayed(torch.tensor([3]), replayed=20.0, new=80.0)
    fixed = soft_labels(champion, 60, 67, counted, DistillationConfig(weight=0.4, adaptive=False))
    # (sum of losses + 2 * sum of divergences) / 100 = mean loss + 0.4 * (sum of divergences / 20)
    assert fixed.weight == pytest.approx(2.0)
    adaptive = soft_labels(champion, 60, 67, counted, DistillationConfig(weight=0.4))
    assert adaptive.weight == pytest.approx(2.0 * math.sqrt(60 / 67 * 20 / 80))
    assert soft_labels(champion, 60, 67, counted, DistillationConfig()) is None
    assert soft_labels(champion, 60, 67, counted._replace(replayed=0.0), DistillationConfig(weight=1)) is None


def test_a_weight_of_0_is_the_same_night_to_the_last_bit(night):
    bundles = [
        train(night_of(night, run_id, **how)).bundles["live"] for run_id, how in (("as-ever", {}), ("w0", {"weight": 0.0}))
    ]
    assert bundles[0] == bundles[1]


def test_a_night_with_distillation_answers_replayed_users_more_like_its_champion(night):
    root, parent, _ = night
    champion = load_bundle(root / parent.bundle)
    batch = Batch.from_lists([[u % 50 + 1, u % 50 + 3] for u in range(100, 140)])
    apart = {}
    for weight in (0.0, 20.0):
        state = train(night_of(night, f"near-{weight}", epochs=20, weight=weight, adaptive=False))
        now = load_bundle(root / "models" / state.bundles["live"])
        before, after = (
            (bundle.user_vectors(batch) @ bundle.item_matrix.T)[:, 1 : ITEMS + 1].log_softmax(1) for bundle in (champion, now)
        )
        apart[weight] = float((before.exp() * (before - after)).sum(1).mean())
    assert apart[20.0] < 0.7 * apart[0.0]


def test_a_resumed_night_has_the_champion_as_its_teacher_still(night, monkeypatch):
    whole = train(night_of(night, "whole", weight=1.0))
    with monkeypatch.context() as patched:
        stop_after(patched, 5)
        with pytest.raises(Stopped):
            train(night_of(night, "stopped", weight=1.0))
    again = train(night_of(night, "stopped", weight=1.0))
    assert again.resumed_from
    assert again.bundles["live"] == whole.bundles["live"]


def test_dropout_is_on_in_a_night(night, monkeypatch):
    seen = []
    training = night_of(night, "dropout", epochs=1)
    monkeypatch.setattr(loop.ProgressLog, "step", lambda self, report: seen.append(self.training.ranker.training))
    train(training)
    assert training.ranker.config.encoder.dropout == 0.1
    assert seen and all(seen)
