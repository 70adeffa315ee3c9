"""Registering a bundle in a real MLflow, and loading it where only mlflow, torch, pyarrow and safetensors may be imported."""

import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
import torch

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError, DependencyUnreachable
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.model_ref import load_model_ref
from nightrank.feature_store.contracts.outputs.trained import Trained
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, SplitRule
from nightrank.feature_store.contracts.stage import StageContext, StageResult, load_context
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig, TransformerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.stages import register as registry
from nightrank.trainer.tracking import runs as tracking
from nightrank.trainer.tracking import tracker
from tests.evaluation_lake import training_set
from tests.isolated_model import predicted_elsewhere

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
RAW = [str(1000 + item) for item in range(1, 13)]
CURVES = {"fit": {"step": [0, 1], "loss": [3.0, 2.0], "lr": [0.1, 0.2], "valid": [{"step": 1, "epoch": 1, "ndcg@10": 0.25}]}}


def snapshot(day):
    return DatasetSnapshot(
        kind="full",
        date=day,
        clock="real",
        parts={},
        normalisation=Normalisation(),
        split=SplitRule(kind="leave_one_out", holdout_modulus=10),
        event_time_cutoff=0,
        availability_cutoff=0,
        seed=1,
        items=len(RAW),
        users=3,
    )


def finished_training(root: Path, run_id: str, day="2026-01-01", seed=1, fence=0, **mlflow) -> StageContext:
    """A run whose stages up to `train` are done: what stage `register` finds."""
    body = {"root": str(root), "run_id": run_id, "kind": "full", "date": day, "seed": 1, "fence": fence}
    write_json(root / "runs" / run_id / "run.json", {**body, "config": {"trainer": {"workers": 2}, "mlflow": mlflow}})
    context = load_context(root / "runs" / run_id)
    made = snapshot(day)
    made.save(context.lake.snapshot(made.id))
    known = ItemInputs(len(RAW), text=torch.eye(len(RAW) + 1), popularity=torch.arange(len(RAW) + 1))
    model = compose(RankerConfig(width=8, encoder=TransformerConfig(max_length=6)), known, seed=seed)
    context.lake.bundles.mkdir()
    name = store_bundle(context.lake.bundles, model, RAW, snapshot_id=made.id, lineage="l", default_action=2)
    StageResult("build_training_set", output=training_set(made)).save(context)
    files = {"measured": None, "live": f"models/{name}", "checkpoint": f"checkpoints/{run_id}"}
    trained = {"training": {"backend": "gloo", "parent_model": None}, "model_files": files, "curves": CURVES}
    StageResult("train", output=Trained.model_validate(trained)).save(context)
    return context


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """One run registered once: (context, result, ref)."""
    context = finished_training(tmp_path_factory.mktemp("lake"), "full-2026-01-01")
    result = registry.run(context)
    result.save(context)
    return context, result, load_model_ref(context.run_dir / "model_ref.json")


def versions(context):
    with tracker.tracker_of(context) as opened:
        return {v.version: dict(v.tags) for v in opened.client.search_model_versions("name = 'nightrank'")}


def aliases(context):
    with tracker.tracker_of(context) as opened:
        return {k: int(v) for k, v in opened.client.get_registered_model("nightrank").aliases.items()}


def test_the_reference_says_what_was_registered(registered):
    context, result, ref = registered
    model = result.output.sections["model"]
    assert {k: model[k] for k in ("name", "version", "manifest_sha256", "ranker")} == {
        "name": "nightrank",
        "version": 1,
        "manifest_sha256": Path(ref.bundle).name,
        "ranker": "transformer",
    }
    assert model["settings"]["width"] == 8
    assert (ref.alias, ref.vocabulary_items, ref.date, ref.checkpoint) == (
        "challenger",
        len(RAW),
        "2026-01-01",
        f"checkpoints/{context.run_id}",
    )
    assert aliases(context)["challenger"] == 1
    assert load_bundle(context.root.path / ref.bundle, ref.manifest_sha256).info.default_action == 2


def test_registering_again_finds_the_same_version(registered):
    context, result, _ = registered
    before = set(versions(context))
    assert registry.run(context).output.sections == result.output.sections
    assert set(versions(context)) == before


def test_curves_parameters_and_snapshot_stand_in_the_tracker(registered):
    context, _, ref = registered
    with tracker.tracker_of(context) as opened:
        train = opened.client.get_run(opened.find_run(context, "train"))
        register = opened.client.get_run(ref.mlflow_run_id)
        parent = opened.find_run(context, tracker.NIGHT)
        history = opened.client.get_metric_history(train.info.run_id, "fit/loss")
    assert [(point.step, point.value) for point in history] == [(0, 3.0), (1, 2.0)]
    assert train.data.metrics["fit/valid/ndcg_at_10"] == 0.25
    assert [entry.dataset.name[:9] for entry in train.inputs.dataset_inputs] == ["snapshot-"]
    assert train.data.tags["mlflow.parentRunId"] == register.data.tags["mlflow.parentRunId"] == parent
    assert register.data.params["trainer.workers"] == "2"
    assert (train.info.status, register.info.status) == ("FINISHED", "FINISHED")


def test_a_moved_lake_takes_its_runs_versions_and_artifacts_along(tmp_path):
    import mlflow

    old = finished_training(tmp_path / "old", "full-2026-01-01")
    before = registry.run(old).output.sections
    (tmp_path / "old").rename(tmp_path / "new")
    context = load_context(tmp_path / "new" / "runs" / old.run_id)
    assert str(context.root) == str(tmp_path / "new")
    assert registry.run(context).output.sections == before
    with tracker.tracker_of(context) as opened:
        (version,) = opened.versions("nightrank", {})
        files = opened.client.list_artifacts(opened.find_run(context, "train"))
        loaded = mlflow.pyfunc.load_model("models:/nightrank/1")
    assert (int(version.version), [file.path for file in files]) == (1, ["snapshot"])
    assert loaded.metadata.signature is not None
    database = (tmp_path / "new" / "mlflow" / "mlflow.db").read_bytes()
    assert f"file://{tmp_path}/old/mlflow".encode() not in database and not (tmp_path / "old").exists()


def test_it_loads_with_mlflow_torch_pyarrow_and_safetensors_alone(registered, tmp_path):
    context, _, ref = registered
    rows = [
        {"history": [RAW[0], RAW[3]], "k": 4},
        {"history": [int(RAW[0]), int(RAW[3])], "k": 2},
        {"history": ["nobody knows this"], "k": 2},
        {"history": [], "k": 1},
    ]
    uri = tracker.tracking_uri(tracker.MlflowSettings(), context.lake)
    told = predicted_elsewhere(uri, ["models:/nightrank@challenger"], rows, tmp_path)
    assert not told["ranker"].startswith(str(ROOT))
    (got,) = told["answers"]
    assert got["columns"] == ["row", "rank", "item_id", "score"]
    bundle = load_bundle(context.root.path / ref.bundle)
    wanted = [
        (row, rank, item, pytest.approx(score, abs=1e-5))
        for row, request in enumerate(rows)
        for rank, (item, score) in enumerate(bundle.recommend(request["history"], request["k"]), 1)
    ]
    assert [tuple(row.values()) for row in got["rows"]] == wanted
    assert len(wanted) == 9


def test_what_is_not_on_sale_is_a_parameter_of_the_logged_model(registered):
    import mlflow
    import pandas as pd

    context, _, _ = registered
    mlflow.set_tracking_uri(tracker.tracking_uri(tracker.MlflowSettings(), context.lake))
    model = mlflow.pyfunc.load_model("models:/nightrank@challenger")
    rows = pd.DataFrame([{"history": [RAW[0]], "k": 12}, {"history": ["nobody"], "k": 12}])
    off = RAW[5:9]
    listed = model.predict(rows, params={"unavailable": [*off, "not an item"]})
    everything = model.predict(rows)
    assert set(everything[everything["row"] == 0]["item_id"]) - set(listed[listed["row"] == 0]["item_id"]) == set(off)
    assert set(listed[listed["row"] == 1]["item_id"]) == set(RAW) - set(off)


def test_the_logged_model_names_its_four_requirements(registered):
    import mlflow

    context, _, _ = registered
    mlflow.set_tracking_uri(tracker.tracking_uri(tracker.MlflowSettings(), context.lake))
    names = [
        line.split("==")[0]
        for line in Path(mlflow.pyfunc.get_model_dependencies("models:/nightrank@challenger")).read_text().split()
    ]
    assert sorted(names) == ["mlflow", "pyarrow", "safetensors", "torch"]


def stage(context, **environment):
    """The stage as the pipeline starts it: without the address that MLflow left in this process' environment."""
    command = [sys.executable, "-m", "nightrank.trainer.stages.register", "--run-dir", str(context.run_dir)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return subprocess.run(command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("place", ["register.logged", "register.registered"])
def test_killed_anywhere_the_same_command_ends_in_one_version(registered, place):
    context = finished_training(registered[0].root, f"full-{place}", day="2026-01-02", seed=len(place))
    before = len(versions(context))
    assert stage(context, NIGHTRANK_FAILPOINT=place).returncode == -9
    again = stage(context)
    assert again.returncode == 0, again.stderr
    mine = [tags for tags in versions(context).values() if tags["nightrank.run_id"] == context.run_id]
    assert len(mine) == 1
    assert len(versions(context)) == before + 1
    with tracker.tracker_of(context) as opened:
        models = opened.client.search_logged_models([opened.experiment_id])
    manifest = mine[0][tracker.MANIFEST]
    assert sum(model.tags.get(tracker.MANIFEST) == manifest for model in models) == 1


def test_promotion_moves_the_alias_and_a_crash_between_is_mended(registered):
    context, _, ref = registered
    assert context.lake.champion() is None
    assert registry.reconcile(context) == []
    registry.promote(context, ref, over=None)
    champion = context.lake.champion()
    assert (champion.version, champion.alias) == (ref.version, "champion")
    assert aliases(context)["champion"] == ref.version
    assert registry.reconcile(context) == []
    with tracker.tracker_of(context) as opened:
        opened.client.delete_registered_model_alias("nightrank", "champion")
    (sentence,) = registry.reconcile(context)
    assert "alias champion of nightrank was missing" in sentence
    assert aliases(context)["champion"] == ref.version
    with tracker.tracker_of(context) as opened:
        opened.client.delete_registered_model_alias("nightrank", "champion")
    another = ref.model_copy(update={"version": 999, "alias": "champion", "run_id": "other"})
    another.save(context.lake.champion_path)
    assert registry.reconcile(context) == [] and "champion" not in aliases(context)
    with pytest.raises(ConflictError, match="compared with no champion"):
        registry.promote(context, ref, over=None)
    registry.promote(context, ref, over=another.manifest_sha256)
    assert registry.reconcile(context) == []


def test_a_superseded_run_promotes_nothing(registered):
    first, _, ref = registered
    write_json(first.lake.lease, {"fence": 9, "run_id": "newer"})
    late = StageContext(first.root, first.run_id, "full", date(2026, 1, 1), 1, 3, Configuration.from_run({}))
    before = first.lake.champion()
    with pytest.raises(ConflictError, match="superseded by run newer"):
        registry.promote(late, ref, over=None)
    first.lake.lease.unlink()
    assert first.lake.champion() == before


def test_a_server_that_does_not_answer_is_named_in_time_and_the_bundle_stays(tmp_path):
    context = finished_training(tmp_path, "full-away", tracking_uri="http://user:secret@127.0.0.1:9", timeout_seconds=2)
    started = time.monotonic()
    with pytest.raises(DependencyUnreachable, match=r"MLflow at http://127\.0\.0\.1:9 does not answer") as caught:
        registry.run(context)
    assert time.monotonic() - started < 10
    assert "secret" not in caught.value.message
    assert len(context.lake.bundles.children()) == 1
    done = stage(context)
    assert done.returncode == 8
    assert "mlflow.tracking_uri" in done.stderr
    back = finished_training(tmp_path, "full-away")
    assert registry.run(back).output.sections["model"]["version"] == 1


def test_the_end_of_a_run_stands_in_its_parent(registered):
    context, result, ref = registered
    report = context.run_dir / "report.html"
    report.write_text("<html></html>")
    row = {"recommender": "champion", "split": "test", "slice": "all", "name": "ndcg", "k": 10, "value": 0.5, "n": 300}
    took = {"name": "score_users", "status": "done", "seconds": 2.5, "rows_in": 3, "rows_out": 30, "bytes_read": 9}
    quiet = {**took, "name": "verdict"}
    left = {"name": "score_ctr", "status": "not_run", "seconds": 0.0}
    figures = {"metrics": [row, {**row, "k": 20, "value": None}], "counts": {"events": 7}, "stages": [took, quiet, left]}
    figures |= {"model": result.output.sections["model"], "gate": {"decision": "rejected", "reasons": ["-0.1 NDCG@10"]}}
    figures["metrics"].append({**row, "recommender": "challenger", "value": 0.25, "ci": [0.2, 0.3]})
    write_json(context.run_dir / "result.json", {"status": "done", "report": None, **figures})
    samples = [
        {"seconds": 2.0, "cpu_percent": 150.0, "rss_mib": 700.0},
        {"seconds": 4.1, "cpu_percent": 90.0, "rss_mib": 900.0},
    ]
    write_json(context.stage_file("score_users"), took)
    write_json(context.run_dir / "system" / "score_users.json", {"samples": samples})
    for _ in range(2):
        assert tracking.main(["--run-dir", str(context.run_dir), "--finish"]) == 0
    with tracker.tracker_of(context) as opened:
        run = opened.client.get_run(opened.find_run(context, tracker.NIGHT))
        artifacts = {file.path for file in opened.client.list_artifacts(run.info.run_id)}
        stage = opened.client.get_run(opened.find_run(context, "score_users"))
        memory = opened.client.get_metric_history(stage.info.run_id, "system/stage_memory_mebibytes")
        assert [opened.find_run(context, name) for name in ("verdict", "score_ctr")] == [None, None]
        version = opened.client.get_model_version(ref.name, str(ref.version))
    assert {key: version.tags[f"nightrank.{key}"] for key in ("ranker", "gate", "test.ndcg_at_10")} == {
        "ranker": "transformer",
        "gate": "rejected",
        "test.ndcg_at_10": "0.2500 [0.2000, 0.3000] n=300",
    }
    assert version.description.startswith("**transformer**, trained by run") and "the champion stayed" in version.description
    assert {name: run.data.metrics[name] for name in ("champion/test/all/ndcg_at_10", "counts/events")} == {
        "champion/test/all/ndcg_at_10": 0.5,
        "counts/events": 7.0,
    }
    assert (stage.info.status, stage.data.tags["mlflow.parentRunId"]) == ("FINISHED", run.info.run_id)
    assert stage.info.end_time - stage.info.start_time == pytest.approx(2500, abs=2)
    assert (stage.data.metrics["seconds"], stage.data.metrics["rows_out"]) == (2.5, 30.0)
    assert {(point.step, point.value) for point in memory} == {(2, 700.0), (4, 900.0)}
    assert (run.info.status, artifacts) == ("FINISHED", {"report.html", "result.json"})


def test_two_first_opens_at_once_both_work(tmp_path):
    context = finished_training(tmp_path, "full-race")
    code = (
        "from pathlib import Path; from nightrank.trainer.tracking import tracker\n"
        "from nightrank.feature_store.contracts.stage import load_context\n"
        f"with tracker.tracker_of(load_context(Path({str(context.run_dir)!r}))) as t: print(t.experiment_id)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=200)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert answers[0] == answers[1] != ""
