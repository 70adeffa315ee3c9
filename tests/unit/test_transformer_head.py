"""The transformer head through a ranker's life: trained by the loop, loaded from its bundle, grown, trained on for a night."""

import numpy as np
import pytest
import torch

from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.heads.transformer import TransformerHead
from nightrank.ranker.retrieval.listing import best_items
from nightrank.trainer.data.item_inputs import load_item_inputs
from nightrank.trainer.incremental.growth import grown
from nightrank.trainer.worker.phases import train
from tests.training_jobs import ITEMS, job_of, parent_of, small_lake, training_of
from tests.training_lake import row, write_snapshot

NEW, K = 7, 10
SETTINGS = {
    "batch_rows": 16,
    "model": {"init": "xavier", "head": {"name": "transformer", "hidden": 8}},
    "fit": {"epochs": 8, "learning_rate": 1e-2, "patience": None},
}
HISTORIES = Batch.from_lists([[1, 2, 3], [ITEMS], [9, 8, 20, 11]])


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The lake's root, a full run's training with the live weights in its ranker, and where it ended."""
    root = tmp_path_factory.mktemp("lake")
    training = training_of(job_of(root, small_lake(root), SETTINGS, run_id="full"))
    return root, training, train(training)


@pytest.fixture(scope="module")
def bundle(full):
    root, _, state = full
    return load_bundle(root / "models" / state.bundles["live"])


@pytest.fixture(scope="module")
def night(full):
    root, *_ = full
    rows = [row(u, [u, u + 1, ITEMS + 1 + u % NEW], 1, "train", "day") for u in range(1, 40)]
    return write_snapshot(root, {"train": rows}, ITEMS + NEW, 300, kind="nightly", date="2024-01-02", tag="v1")


def test_its_loss_falls(full):
    _, training, state = full
    losses = state.curves["fit"].loss
    assert isinstance(training.ranker.head, TransformerHead)
    assert np.isfinite(losses).all() and np.mean(losses[-8:]) < 0.75 * np.mean(losses[:8])


def test_its_bundle_lists_what_the_trained_ranker_lists(full, bundle):
    ranker = full[1].ranker.eval()
    users, items = ranker.user_vectors(HISTORIES).detach(), ranker.all_item_vectors()
    expected = best_items(ranker.head, users, items, K)
    ids, scores = bundle.best(HISTORIES, K)
    assert torch.equal(ids, expected[0])
    torch.testing.assert_close(scores, expected[1])
    with torch.no_grad():
        whole = ranker.head.every(users, items)[:, 1:]
    torch.testing.assert_close(scores, whole.topk(K).values)
    assert len({tuple(listed) for listed in ids.tolist()}) == HISTORIES.rows


def test_grown_it_scores_old_items_by_the_same_bits_and_new_ones_too(full, bundle, night):
    ranker = grown(bundle, load_item_inputs(night, full[0])).eval()
    users, items = ranker.user_vectors(HISTORIES).detach(), ranker.all_item_vectors()
    before = bundle.head.scores(bundle.user_vectors(HISTORIES), bundle.item_matrix).detach()
    with torch.no_grad():
        assert torch.equal(ranker.head.scores(users, items[: ITEMS + 1]), before)
        new = ranker.head.scores(users, items)[:, ITEMS + 1 :]
    assert new.shape == (HISTORIES.rows, NEW) and torch.isfinite(new).all() and before[:, 1:].std(dim=1).min() > 0.1


def test_a_night_trains_it_on(full, bundle, night):
    root, training, state = full
    second = training_of(job_of(root, night, SETTINGS, run_id="night", kind="nightly", parent=parent_of(training, state)))
    assert not second.optimizer.fresh
    after = load_bundle(root / "models" / train(second).bundles["live"])
    assert after.info.items == ITEMS + NEW
    moved = {name for name, value in after.head.state_dict().items() if not torch.equal(value, bundle.head.state_dict()[name])}
    assert moved == set(bundle.head.state_dict())
