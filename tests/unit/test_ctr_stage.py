"""Training a click ranker from a lake's pinned rows: resumed, over ranks, stopped early, and every fault by its name."""

import os
import time

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, ModelRef
from nightrank.feature_store.contracts.settings import MaintenanceSettings
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.stage import load_context
from nightrank.feature_store.pins import live_snapshots
from nightrank.ranker.ctr.bundle import load_ctr_bundle
from nightrank.ranker.metrics.ctr import auc, log_loss
from nightrank.trainer.ctr.session import prepare, train_ctr
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.faults import DivergedError
from nightrank.trainer.ranks.watchdog import Progress
from nightrank.trainer.stages.train_ctr import job_of, run
from tests.ctr_batches import SMALL, impressions
from tests.impression_lake import (
    LAKE_SHAPES,
    ROWS,
    ctr_job,
    ctr_section,
    impression_lake,
    pointwise,
    rows_of,
    write_ctr_run,
)
from tests.thread_world import on_ranks
from tests.training_jobs import CPU


class Interrupted(Exception):
    pass


class StopsAt(Progress):
    """The machine goes away after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def moved(self, doing, step=None):
        super().moved(doing, step)
        if step == self.steps:
            raise Interrupted


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("lake")
    return root, impression_lake(root)


def trained(job, communicator=None, progress=None):
    return train_ctr(job, communicator or SingleProcess(), progress or Progress(), CPU, time.monotonic())


@pytest.mark.parametrize("name", sorted(SMALL))
def test_interrupted_anywhere_and_run_again_ends_in_the_same_curve_and_bundle(lake, name):
    root, snapshot = lake
    ctr = ctr_section(name)
    whole = trained(ctr_job(root, snapshot, ctr, f"{name}-whole", checkpoint={"every_steps": 3}))
    cut = ctr_job(root, snapshot, ctr, f"{name}-cut", checkpoint={"every_steps": 3})
    for steps in (5, 13):
        with pytest.raises(Interrupted):
            trained(cut, progress=StopsAt(steps))
    again = trained(cut)
    assert again["training"]["resumed_from"] == "ctr step 11"
    assert again["curves"] == whole["curves"] and again["test"] == whole["test"]
    assert again["model_files"]["live"] == whole["model_files"]["live"]
    assert whole["training"]["steps"] == [24] and whole["training"]["rows_read"] == [900]
    assert set(whole["test"]) == {"n", "auc", "log_loss", *(f"{x}/{y}" for x in ("click", "cart") for y in ("auc", "log_loss"))}


def test_figures_are_those_of_the_kept_weights_on_the_parts_rows(lake):
    root, snapshot = lake
    found = trained(ctr_job(root, snapshot, ctr_section("dnn"), "figures"))
    bundle = load_ctr_bundle(root / found["model_files"]["live"])
    rows = impressions(ROWS["test"], LAKE_SHAPES, seed=2)
    scores, labels = bundle.scores(rows).numpy(), rows.labels_BA.numpy()
    assert found["test"]["cart/auc"] == pytest.approx(auc(scores[:, 1], labels[:, 1]))
    assert found["test"]["log_loss"] == pytest.approx(np.mean([log_loss(scores[:, a], labels[:, a]) for a in (0, 1)]))
    best = max(found["curves"]["ctr"]["valid"], key=lambda row: row["auc"])
    assert found["training"]["best"] == best and best["n"] == ROWS["valid"]
    assert bundle.snapshot_id == snapshot.id and bundle.codes.values["hour"].to_pylist() == ["hour 01", "hour 02", "hour 03"]


def test_two_ranks_take_the_steps_of_one_and_measure_the_same(lake):
    root, snapshot = lake
    ctr = ctr_section("mmoe", model={"batch_norm": False, "dropout": 0.0}, validation_rows=90)
    alone = trained(ctr_job(root, snapshot, ctr, "one"))
    found = on_ranks(2, lambda communicator: trained(ctr_job(root, snapshot, ctr, "two"), communicator))
    assert not [each for each in found if isinstance(each, Exception)], found
    assert found[0]["curves"] == found[1]["curves"] and found[0]["model_files"] == found[1]["model_files"]
    assert found[0]["training"]["rows_read"] == [450, 450] and found[0]["training"]["steps"] == [24, 24]
    assert {row["n"] for each in (alone, found[0]) for row in each["curves"]["ctr"]["valid"]} == {90}
    assert len(alone["curves"]["ctr"]["loss"]) == 24


def test_two_ranks_with_batch_norm_keep_the_statistics_of_rank_0(lake):
    root, snapshot = lake
    found = on_ranks(2, lambda communicator: trained(ctr_job(root, snapshot, ctr_section("dnn"), "norms"), communicator))
    assert found[0]["test"] == found[1]["test"]
    bundle = load_ctr_bundle(root / found[0]["model_files"]["live"])
    rows = impressions(ROWS["test"], LAKE_SHAPES, seed=2)
    assert auc(bundle.scores(rows).numpy()[:, 0], rows.labels_BA.numpy()[:, 0]) == pytest.approx(found[0]["test"]["click/auc"])


def test_it_stops_where_validation_stands_still(lake):
    root, snapshot = lake
    ctr = ctr_section("lr", epochs=50, learning_rate=1e-12, plateau={"patience": 2})
    found = trained(ctr_job(root, snapshot, ctr, "still"))
    assert found["training"]["epochs"] < 50
    rates = found["curves"]["ctr"]["lr"]
    assert rates[0] == 1e-12 and rates[-1] < rates[0]


def test_a_loss_that_is_no_number_stops_it_and_names_the_rows(tmp_path):
    rows = impressions(ROWS["train"], LAKE_SHAPES)
    prices = [[float("inf")] if n == 7 else price for n, price in enumerate(rows.numeric_BD.tolist())]
    snapshot = impression_lake(tmp_path, train=pointwise(rows, numeric=prices))
    with pytest.raises(DivergedError, match=r"rank 0 had 37 impressions, the first of codes \[\d"):
        trained(ctr_job(tmp_path, snapshot, ctr_section("lr")))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("train", {"labels": [[1.0, 0.5]] * 300}, r"impressions_train, row group 2: label cart of row 0 is 0.5, not 0 or 1"),
        ("train", {"codes": [[1, 99, 1]] * 300}, r"row group 2: field item holds codes 99..99 where the ranker knows 0..12"),
        (
            "valid",
            {"labels": [[1.0, 1.0]] * 120},
            r"the 120 rows of impressions_valid hold only one value of each label \(click, cart\)",
        ),
    ],
)
def test_rows_that_cannot_be_trained_on_are_named(tmp_path, part, change, message):
    snapshot = impression_lake(tmp_path, **{part: rows_of(part, **change)})
    with pytest.raises(DataContractError, match=message):
        trained(ctr_job(tmp_path, snapshot, ctr_section("dnn"), reader="arrow"))


def test_one_label_without_both_answers_is_left_out_of_the_mean(tmp_path):
    labels = [[float(n % 2), 0.0] for n in range(ROWS["valid"])]
    snapshot = impression_lake(tmp_path, valid=rows_of("valid", labels=labels))
    found = trained(ctr_job(tmp_path, snapshot, ctr_section("lr", epochs=1)))
    (row,) = found["curves"]["ctr"]["valid"]
    assert "cart/auc" not in row and row["auc"] == row["click/auc"]


def test_codes_that_are_not_those_of_the_snapshot_are_refused(lake, tmp_path):
    snapshot = impression_lake(tmp_path)
    spec = snapshot.impressions.model_copy(update={"sizes": (9, 14, 4)})
    wrong = snapshot.model_copy(update={"impressions": spec})
    wrong.save(tmp_path / "snapshots" / f"{wrong.id}.json")
    with pytest.raises(DataContractError, match=r"field item does not hold the codes 1..13 in order"):
        trained(ctr_job(tmp_path, wrong, ctr_section("lr", epochs=1)))


def test_a_snapshot_without_impressions_and_an_unknown_model_are_named(tmp_path):
    snapshot = impression_lake(tmp_path)
    bare = snapshot.model_copy(update={"impressions": None})
    bare.save(tmp_path / "snapshots" / f"{bare.id}.json")
    assert load_snapshot(tmp_path / "snapshots" / f"{bare.id}.json").impressions is None
    context = load_context(write_ctr_run(tmp_path, "none", bare, ctr=ctr_section()))
    with pytest.raises(DataContractError, match=r"has no impressions to train a click ranker on"):
        run(context)
    context = load_context(write_ctr_run(tmp_path, "model", snapshot, ctr={"model": {"name": "dmn"}}))
    with pytest.raises(ConfigError, match=r"configuration: model: .*'dmn'.*'lr', 'dnn', 'dcnv2', 'din', 'finalmlp', 'mmoe'"):
        run(context)
    flat = snapshot.model_copy(update={"impressions": snapshot.impressions.model_copy(update={"history": None})})
    flat.save(tmp_path / "snapshots" / f"{flat.id}.json")
    with pytest.raises(ConfigError, match=r"din reads histories, and impressions.history is 0"):
        prepare(ctr_job(tmp_path, flat, ctr_section("din")), SingleProcess(), Progress(), CPU)


def test_a_run_says_what_its_workers_are_told(lake):
    root, snapshot = lake
    trainer = {"launcher": "one_process", "batch_rows": 7}
    job = job_of(load_context(write_ctr_run(root, "told", snapshot, ctr=ctr_section("din"), trainer=trainer)))
    assert job.ctr.model.name == "din" and job.parent is None
    assert job.folder.path == root / "runs" / "told" / "train_ctr" and job.checkpoints.path == root / "checkpoints" / "told-ctr"
    job.save()
    assert type(job).model_validate(read_json(job.path)) == job


def test_files_of_an_older_snapshot_keep_their_id(tmp_path):
    """A snapshot written before there were impressions says nothing of them, and its id is of what it says."""
    bare = impression_lake(tmp_path).model_copy(update={"impressions": None})
    bare.save(tmp_path / "old.json")
    assert "impressions" not in read_json(tmp_path / "old.json")
    assert load_snapshot(tmp_path / "old.json").id == bare.id
    assert pa.schema(rows_of("test").schema).names[-1] == "history"


def test_what_the_click_ranker_was_trained_on_stays_pinned(tmp_path):
    old = impression_lake(tmp_path / "lake")
    newer = old.model_copy(update={"date": "2024-03-02"})
    lake = Lake(tmp_path / "lake")
    newer.save(lake.snapshot(newer.id))
    os.utime(lake.snapshot(old.id), (1, 1))
    only_one = MaintenanceSettings(keep_snapshots=1)
    assert [each.id for each in live_snapshots(lake, only_one)] == [newer.id]
    ref = ModelRef(
        name="m-ctr", version=1, alias=None, mlflow_run_id="r", manifest_sha256="0", vocabulary_lineage="c",
        vocabulary_items=1, snapshot_id=old.id, run_id="r", date="2024-03-01", bundle="models/0",
    )  # fmt: skip
    ref.save(lake.root / CTR_MODEL)
    assert {each.id for each in live_snapshots(lake, only_one)} == {old.id, newer.id}
