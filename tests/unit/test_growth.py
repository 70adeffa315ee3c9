import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.data.item_inputs import load_item_inputs, load_vocabulary
from nightrank.trainer.incremental.growth import champion, check_extends, grown
from nightrank.trainer.incremental.moments import grown_moments
from nightrank.trainer.worker.phases import train
from tests.training_jobs import ITEMS, job_of, parent_of, small_lake, training_of
from tests.training_lake import row, write_snapshot

NEW = 7


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A lake with a trained champion of 60 items, and a night's snapshot of 67."""
    root = tmp_path_factory.mktemp("lake")
    training = training_of(job_of(root, small_lake(root), {"fit": {"epochs": 1}}, run_id="full"))
    state = train(training)
    parent = parent_of(training, state)
    rows = [row(u, [u, u + 1, ITEMS + 1 + u % NEW], 1, "train", "day") for u in range(1, 40)]
    snapshot = write_snapshot(root, {"train": rows}, ITEMS + NEW, 300, kind="nightly", date="2024-01-02", tag="v1")
    return root, parent, snapshot


def test_old_rows_are_the_same_bits_and_new_ones_have_a_start(night):
    root, parent, snapshot = night
    bundle = champion(root, parent)
    ranker = grown(bundle, load_item_inputs(snapshot, root))
    table, old = ranker.items.ids.weight, bundle.weights["items.ids.weight"]
    assert table.shape[0] == ITEMS + NEW + 1
    assert torch.equal(table[: ITEMS + 1], old)
    assert torch.isfinite(table).all() and (table[ITEMS + 1 :].abs().sum(1) > 0).all()


def test_a_night_counts_on_from_what_the_champion_was_trained_on(night):
    root, parent, snapshot = night
    bundle = champion(root, parent)
    counted, before = load_item_inputs(snapshot, root).popularity, bundle.popularity
    total = grown(bundle, load_item_inputs(snapshot, root)).items.popularity
    assert before.sum() > 100
    assert torch.equal(total[: ITEMS + 1], before + counted[: ITEMS + 1])
    assert torch.equal(total[ITEMS + 1 :], counted[ITEMS + 1 :].float())


def test_the_scores_of_old_items_do_not_change_when_the_tables_grow(night):
    root, parent, snapshot = night
    bundle = champion(root, parent)
    ranker = grown(bundle, load_item_inputs(snapshot, root))
    assert torch.equal(ranker.all_item_vectors()[: ITEMS + 1], bundle.item_matrix)


def test_moments_of_old_rows_are_kept_and_those_of_new_rows_are_zero(night):
    root, parent, snapshot = night
    bundle, inputs = champion(root, parent), load_item_inputs(snapshot, root)
    before = champion_moments(root, parent)
    after = grown_moments(root, parent, bundle, inputs.shapes)
    key = "items.ids.weight/exp_avg_sq"
    assert torch.equal(after[key][: ITEMS + 1], before[key])
    assert float(before[key].sum()) > 0
    assert float(after[key][ITEMS + 1 :].abs().sum()) == 0
    assert after[key].shape[0] == ITEMS + NEW + 1
    unchanged = [name for name in before if not name.startswith("items.ids")]
    assert all(torch.equal(before[name], after[name]) for name in unchanged)


def champion_moments(root, parent):
    from nightrank.trainer.loop.checkpoint import CheckpointFolder

    return CheckpointFolder(root / parent.checkpoint).load("live").optimizer


def test_the_checkpoint_holds_the_weights_of_the_bundle(night):
    from nightrank.trainer.loop.checkpoint import CheckpointFolder

    root, parent, _ = night
    weights = load_bundle(root / parent.bundle).weights
    kept = CheckpointFolder(root / parent.checkpoint).load("live").model
    assert weights.keys() == kept.keys()
    assert all(torch.equal(weights[name], kept[name]) for name in kept)


def test_without_the_champions_checkpoint_a_night_starts_from_its_weights_with_a_warning(night, capsys):
    root, parent, snapshot = night
    alone = parent.model_copy(update={"checkpoint": "checkpoints/gone"})
    training = training_of(job_of(root, snapshot, run_id="night-alone", kind="nightly", parent=alone))
    assert "starting without it" in capsys.readouterr().err
    assert training.optimizer.fresh
    assert torch.equal(training.ranker.state_dict()["items.ids.weight"][: ITEMS + 1], champion_table(root, parent))


def champion_table(root, parent):
    return load_bundle(root / parent.bundle).weights["items.ids.weight"]


def test_a_night_trains_on_and_keeps_the_lineage(night):
    root, parent, snapshot = night
    training = training_of(job_of(root, snapshot, run_id="night", kind="nightly", parent=parent))
    assert not training.optimizer.fresh
    state = train(training)
    bundle = load_bundle(root / "models" / state.bundles["live"])
    assert "measured" not in state.bundles
    assert bundle.info.lineage == parent.lineage
    assert bundle.info.items == ITEMS + NEW
    assert not torch.equal(bundle.weights["items.ids.weight"][: ITEMS + 1], champion_table(root, parent))


def test_a_strong_anchor_keeps_the_night_near_the_champion(night):
    root, parent, snapshot = night
    moved = {}
    for strength in (0.0, 100.0):
        changes = {"night": {"anchor": strength, "epochs": 8, "fresh_optimizer": True}, "optimizer": {"weight_decay": 0.0}}
        training = training_of(job_of(root, snapshot, changes, run_id=f"anchor-{strength}", kind="nightly", parent=parent))
        start = training.ranker.state_dict()["encoder.out_norm.weight"].clone()
        train(training)
        moved[strength] = float((training.ranker.state_dict()["encoder.out_norm.weight"] - start).norm())
    assert moved[100.0] < moved[0.0]


def test_a_vocabulary_that_does_not_extend_the_champions_is_refused(night):
    root, parent, snapshot = night
    bundle = champion(root, parent)
    ids = load_vocabulary(snapshot, root)
    check_extends(bundle, ids)
    with pytest.raises(DataContractError, match="dense id 3 belongs to another item"):
        check_extends(bundle, [*ids[:2], "other", *ids[3:]])
    with pytest.raises(DataContractError, match="dense id 11 belongs to another item or is gone"):
        check_extends(bundle, ids[:10])


def test_a_bundle_of_another_lineage_is_refused(night):
    root, parent, _ = night
    with pytest.raises(DataContractError, match="lineage"):
        champion(root, parent.model_copy(update={"lineage": "0" * 64}))
