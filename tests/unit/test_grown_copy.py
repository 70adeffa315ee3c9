"""New items enter the lists although the model stayed: a copy of the champion with rows for them, bit-equal for the rest."""

from datetime import date
from pathlib import Path

import pytest
import torch

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.settings import MlflowSettings
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.spark_jobs.scoring.champion import open_list_model
from nightrank.trainer.incremental.list_model import write_list_model
from nightrank.trainer.worker.phases import train
from tests.training_jobs import ITEMS, job_of, parent_of, small_lake, training_of
from tests.training_lake import row, write_snapshot

NEW = 7


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """(run of a night, its champion, its snapshot): a champion of 60 items, and a night's snapshot of 67."""
    root = tmp_path_factory.mktemp("lake")
    training = training_of(job_of(root, small_lake(root), {"fit": {"epochs": 1}}, run_id="full"))
    parent = parent_of(training, train(training))
    rows = [row(u, [u, u + 1, ITEMS + 1 + u % NEW], 1, "train", "day") for u in range(1, 40)]
    snapshot = write_snapshot(root, {"train": rows}, ITEMS + NEW, 300, kind="nightly", date="2024-01-02", tag="v1")
    champion = ModelRef(
        name="nightrank",
        version=1,
        alias="champion",
        mlflow_run_id="m",
        manifest_sha256=Path(parent.bundle).name,
        vocabulary_lineage=parent.lineage,
        vocabulary_items=ITEMS,
        snapshot_id=parent.snapshot_id,
        run_id="full",
        date="2024-01-01",
        bundle=parent.bundle,
    )
    champion.save(root / "champion.json")
    context = StageContext(root, "nightly-2024-01-02", "nightly", date(2024, 1, 2), 17, 0, Configuration.from_run({}))
    return context, champion, snapshot


def opened(context):
    return open_list_model(Lake(context.root), MlflowSettings(), context.run_dir, context.run_dir / "into")


def test_old_items_score_the_same_and_new_ones_can_be_listed(shop):
    context, champion, snapshot = shop
    words = write_list_model(context, champion, snapshot)
    assert words == "7 new items are scored by a copy of version 1 that is otherwise the same"
    model = opened(context)
    before, after = load_bundle(context.root / champion.bundle), load_bundle(model.folder, model.ref.manifest_sha256)
    assert (after.info.items, model.ref.version, after.raw_ids[:ITEMS]) == (ITEMS + NEW, 1, before.raw_ids)
    for name in ("item_matrix", "input_matrix", "popularity"):
        assert torch.equal(getattr(after, name)[: ITEMS + 1], getattr(before, name)), name
    histories = Batch.from_lists([[3, 4, 5], [17], [ITEMS, 1]])
    vectors = after.user_vectors(histories)
    assert torch.equal(vectors, before.user_vectors(histories))
    old_scores = vectors @ before.item_matrix.T
    # Vectors are the same bits; a product with a longer matrix may round its last bit otherwise.
    torch.testing.assert_close((vectors @ after.item_matrix.T)[:, : ITEMS + 1], old_scores, rtol=0, atol=1e-7)
    listed, _ = after.best(histories, ITEMS + NEW)
    assert set(range(ITEMS + 1, ITEMS + NEW + 1)) <= set(listed.flatten().tolist())


def test_weights_of_old_rows_are_the_same_bits(shop):
    context, champion, snapshot = shop
    write_list_model(context, champion, snapshot)
    before, after = load_bundle(context.root / champion.bundle), load_bundle(opened(context).folder)
    for name, value in before.weights.items():
        assert torch.equal(after.weights[name][: len(value)] if value.dim() else after.weights[name], value), name


def test_without_new_items_the_champion_itself_makes_the_lists(shop):
    context, champion, snapshot = shop
    whole = champion.model_copy(update={"vocabulary_items": ITEMS + NEW})
    assert write_list_model(context, whole, snapshot) == ""
    assert not (context.run_dir / LIST_MODEL).exists()


def test_features_that_mean_something_else_are_said_and_leave_the_champion_as_it_is(shop):
    context, champion, snapshot = shop
    other = snapshot.normalisation.model_copy(update={"numeric": ("price",), "mean": (1.0,), "std": (2.0,)})
    words = write_list_model(context, champion, snapshot.model_copy(update={"normalisation": other}))
    assert words == "7 new items are not in the lists: their numbers are scaled differently from the champion's"
    assert not (context.run_dir / LIST_MODEL).exists()


def test_a_copy_that_was_changed_is_refused(shop):
    context, champion, snapshot = shop
    write_list_model(context, champion, snapshot)
    ref = load_model_ref(context.run_dir / LIST_MODEL)
    ref.model_copy(update={"manifest_sha256": "0" * 64}).save(context.run_dir / LIST_MODEL)
    with pytest.raises(DataContractError, match=r"list_model\.json names 0000"):
        opened(context)
