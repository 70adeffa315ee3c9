"""A training result is handed on for the very training that was asked for, and for no other."""

import os

import pytest

from nightrank.feature_store.contracts.config import overlay
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.stage import load_context
from nightrank.trainer.stages import train, train_ctr
from tests.impression_lake import ctr_section, impression_lake, write_ctr_run
from tests.training_jobs import SMALL, small_lake
from tests.training_lake import write_run

pytestmark = pytest.mark.distributed
SHORT = overlay(SMALL, {"fit": {"epochs": 1}})


def again(run_dir, **changes):
    """The stage in the run as the runner would open it now. What it left."""
    write_json(run_dir / "run.json", {**read_json(run_dir / "run.json"), **changes})
    module = train if (run_dir / "train").exists() or "trained" in run_dir.name else train_ctr
    return module.run(load_context(run_dir)).output.sections


def test_train_reuses_its_own_result_alone(tmp_path):
    run_dir = write_run(tmp_path, "trained", small_lake(tmp_path), {"trainer": SHORT})
    first = again(run_dir)
    left = run_dir / "train" / "result.json"
    os.utime(left, (1, 1))
    assert again(run_dir) == first and left.stat().st_mtime == 1, "it was trained once"

    wider = overlay(SHORT, {"model": {"width": 24}})
    other = again(run_dir, config={"trainer": wider})
    assert other["model_files"]["live"] != first["model_files"]["live"]
    assert other["training"]["resumed_from"] is None

    back = again(run_dir, config={"trainer": SHORT})
    assert back["model_files"]["live"] == first["model_files"]["live"] and left.stat().st_mtime != 1

    os.utime(left, (1, 1))
    repeated = again(run_dir, repetitions={"train": 1})
    assert left.stat().st_mtime != 1 and repeated["training"]["resumed_from"] is None, "asked for again, it trains again"
    assert repeated["training"]["steps"] == first["training"]["steps"]
    assert repeated["model_files"] == {**first["model_files"], "checkpoint": "checkpoints/trained.1"}


def test_train_ctr_reuses_its_own_result_alone(tmp_path):
    snapshot = impression_lake(tmp_path)
    one = {"launcher": "one_process", "precision": "fp32"}
    run_dir = write_ctr_run(tmp_path, "clicks", snapshot, ctr=ctr_section("lr", epochs=1), trainer=one)
    first = again(run_dir)["ctr_training"]
    os.utime(run_dir / "train_ctr" / "result.json", (1, 1))
    assert again(run_dir)["ctr_training"] == first
    assert (run_dir / "train_ctr" / "result.json").stat().st_mtime == 1
    other = again(run_dir, config={"ctr": ctr_section("dnn", epochs=1), "trainer": one})["ctr_training"]
    assert (first["training"]["model"], other["training"]["model"]) == ("lr", "dnn")
    os.utime(run_dir / "train_ctr" / "result.json", (1, 1))
    repeated = again(run_dir, repetitions={"train_ctr": 1})["ctr_training"]
    assert (run_dir / "train_ctr" / "result.json").stat().st_mtime != 1, "asked for again, it trains again"
    assert repeated["model_files"]["live"] == other["model_files"]["live"]
