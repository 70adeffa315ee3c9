"""`nightrank tune` as a user runs it: real trials, a real MLflow store, killed in the middle and started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from optuna.trial import TrialState
from PIL import Image

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.failpoints import EACH_ONCE
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.pipeline.config import resolve
from nightrank.pipeline.tune.request import TuneRequest, spec_of
from nightrank.trainer.config.tune import TuneConfig
from nightrank.trainer.tracking.tracker import NIGHT, tracker_of
from nightrank.trainer.tune import record
from nightrank.trainer.tune import study as studies
from nightrank.trainer.tune.objective import run_trial
from nightrank.trainer.tune.spec import StudySpec, load_spec
from tests.training_jobs import SMALL, small_lake
from tests.training_lake import write_run

pytestmark = pytest.mark.distributed

PROJECT = Path(__file__).resolve().parents[2]
RUN = "full-2024-01-01"
FAILPOINTS = ("tune.launch.before", "tune.launch.after", "tune.trial.logged", "tune.close.before")
SPACE = """
trainer.fit.learning_rate: {low: 1.0e-3, high: 3.0e-2, log: true}
trainer.model.width: {choices: [8, 16]}
trainer.loss.negatives: {low: 8, high: 32}
"""


def lake_in(root: Path, **changes) -> Path:
    """A lake with a finished full run whose test rows are gone: whoever reads them fails."""
    snapshot = small_lake(root)
    config = {"seed": 17, "trainer": {**SMALL, "batch_rows": 8, "checkpoint": {"every_steps": 20}, **changes}}
    run_dir = write_run(root, RUN, snapshot, config)
    write_json(run_dir / "result.json", {"status": "done"})
    for part in ("test", "refit"):
        shutil.rmtree(root / "tables" / f"examples_{part}")
    (root / "space.yaml").write_text(SPACE)
    return root


def tuning(root: Path, *more: str, **environment: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "nightrank.pipeline.cli",
        "tune",
        "--root",
        str(root),
        "--space",
        str(root / "space.yaml"),
        *more,
    ]
    return subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def tune(root: Path, *more: str, **environment: str) -> tuple[int, dict, str]:
    """Exit code, the JSON object on stdout, and stderr."""
    process = tuning(root, "--json", *more, **environment)
    out, errors = process.communicate(timeout=400)
    return process.returncode, json.loads(out), errors


def trials(answer) -> list:
    kept = ("trial", "state", "value", "epochs", "params", "reason")
    return [{key: row[key] for key in kept} for row in answer["all"]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(root, answer) of a search of four trials."""
    root = lake_in(tmp_path_factory.mktemp("lake"))
    code, answer, errors = tune(root, "--trials", "4")
    assert code == 0, errors
    return root, answer


def test_a_search_answers_with_its_best(undisturbed):
    root, answer = undisturbed
    assert (answer["status"], answer["trials"], answer["failed"], answer["run_id"]) == ("done", 4, 0, RUN)
    values = [row["value"] for row in answer["all"] if row["value"] is not None]
    assert answer["best"]["value"] == max(values) and len(set(values)) > 1
    assert answer["all"][answer["best"]["trial"]]["params"] == answer["best"]["params"]
    assert answer["all"][0]["params"]["trainer.fit.learning_rate"] == SMALL["fit"]["learning_rate"]
    assert "test split was not read" in answer["chosen_by"]
    assert not list((root / "tune" / answer["study"]).glob("trial-*/checkpoints"))
    assert not (root / "models").exists()


def test_the_overlay_is_the_configuration_of_the_best(undisturbed):
    _, answer = undisturbed
    best = answer["best"]["params"]
    read = resolve([answer["overlay"]], [])["trainer"]
    assert read["fit"]["learning_rate"] == best["trainer.fit.learning_rate"]
    assert (read["model"]["width"], read["loss"]["negatives"]) == (best["trainer.model.width"], best["trainer.loss.negatives"])
    assert (read["batch_rows"], read["launcher"], read["model"]["encoder"]["blocks"]) == (8, "one_process", 1)
    assert "validation NDCG@10" in Path(answer["overlay"]).read_text()
    assert set(yaml.safe_load(Path(answer["overlay"]).read_text())) == {"trainer"}


def test_the_pictures_are_pictures(undisturbed):
    _, answer = undisturbed
    assert sorted(answer["pictures"]) == ["history", "importance"]
    for path in answer["pictures"].values():
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(100_000)) > 20


def test_every_trial_is_a_nested_run_with_its_curve(undisturbed):
    root, answer = undisturbed
    context = record.context_of(load_spec(root / "tune" / answer["study"]))
    with tracker_of(context) as opened:
        parent = opened.client.get_run(opened.find_run(context, NIGHT))
        artifacts = {file.path for file in opened.client.list_artifacts(parent.info.run_id)}
        children = [opened.client.get_run(opened.find_run(context, record.name_of(number))) for number in range(4)]
        curves = [opened.client.get_metric_history(run.info.run_id, "fit/valid/ndcg_at_10") for run in children]
        best = opened.client.get_metric_history(parent.info.run_id, "best")
    assert parent.info.run_id == answer["mlflow_run"] and parent.info.status == "FINISHED"
    assert {"history.png", "importance.png", "best.yaml", "space.yaml", "result.json", "snapshot"} <= artifacts
    assert [point.step for point in best] == [0, 1, 2, 3] and best[-1].value == answer["best"]["value"]
    for run, curve, row in zip(children, curves, answer["all"], strict=True):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.params == {key: str(value) for key, value in row["params"].items()}
        assert (run.info.status, run.data.tags[record.STATE]) == ("FINISHED", row["state"])
        assert len(curve) == row["epochs"] and run.data.metrics["value"] == max(point.value for point in curve)


def test_the_same_command_again_has_nothing_to_do(undisturbed):
    root, answer = undisturbed
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    code, again, _ = tune(root, "--trials", "4")
    assert (code, again["status"], again["exit_code"]) == (3, "already_done", 3)
    assert {**again, "status": "done", "exit_code": 0} == answer
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def begun(root: Path, process: subprocess.Popen, number: int) -> dict:
    """The heartbeat of the trial's rank, once it has a checkpoint and most of its way before it."""
    until = time.monotonic() + 240
    while time.monotonic() < until:
        found = list(root.glob(f"tune/*/trial-{number:04d}/ranks/rank-0.json"))
        if found and (beat := dict(read_json(found[0])))["step"] > 30:
            return beat
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    raise AssertionError(f"trial {number} did not get anywhere within four minutes")


def ended(pid: int) -> bool:
    """Gone, or a zombie that the container's first process has not collected."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_killed_and_stopped_in_the_middle_it_resumes_the_trial_and_ends_with_the_same_ones(undisturbed, tmp_path):
    root = lake_in(tmp_path / "lake")
    process = tuning(root, "--trials", "4")
    orphan = begun(root, process, 0)
    code, answer, _ = tune(root, "--trials", "4")
    assert (code, answer["error"]["code"]) == (5, "conflict"), "one search at a time"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = tuning(root, "--trials", "4", "--json")
    beat = begun(root, process, 2)
    assert ended(orphan["pid"])
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    body = json.loads(out)
    assert (process.returncode, body["exit_code"], body["error"]["code"]) == (143, 143, "interrupted")
    assert ended(beat["pid"])
    code, answer, errors = tune(root, "--trials", "4")
    assert code == 0, errors
    assert trials(answer) == trials(undisturbed[1])
    stopped = read_json(root / "tune" / answer["study"] / "trial-0002" / "result.json")
    assert len(stopped["resumed_from"]) == 1 and not stopped["resumed_from"][0].endswith(" 0")


@pytest.mark.slow
def test_killed_at_every_failpoint_it_ends_with_the_same_trials(undisturbed, tmp_path):
    """Workers in the middle of a trial, the search before and after each trial and before its end: each dies once."""
    root = lake_in(tmp_path / "lake")
    seen = tmp_path / "seen"
    codes = []
    while not codes or codes[-1]:
        code, answer, errors = tune(root, "--trials", "4", **{EACH_ONCE: str(seen)})
        codes.append(code)
        assert code in (0, 1, 6) and len(codes) < 12, errors
    died = set(seen.read_text().split())
    assert died == {*FAILPOINTS, "train.checkpoint.before", "train.checkpoint.after", "train.result.after"}
    assert sorted(codes) == [0, 1, 1, 1, 1, 6, 6]
    assert trials(answer) == trials(undisturbed[1])
    assert answer["best"] == undisturbed[1]["best"]


def test_without_a_tracker_nothing_is_trained(tmp_path):
    root = lake_in(tmp_path / "lake")
    code, answer, _ = tune(root, "--set", "mlflow.tracking_uri=http://127.0.0.1:9", "--set", "mlflow.timeout_seconds=2")
    assert (code, answer["error"]["code"]) == (8, "dependency_unreachable")
    assert not list(root.glob("tune/*/trial-*"))


def spec_in(root: Path, **changes) -> StudySpec:
    soon = ["tune.pruner.startup_trials=1", "tune.pruner.warmup_epochs=1"]
    return spec_of(TuneRequest(lake_in(root, **changes), [], soon, space=root / "space.yaml"))


def test_a_configuration_file_is_what_a_trial_trains(tmp_path):
    """Two epochs of a batch that the run did not have."""
    root = lake_in(tmp_path)
    changes = {"batch_rows": 60, "fit": {**SMALL["fit"], "epochs": 2}}
    (root / "mine.yaml").write_text(yaml.safe_dump({"trainer": {**SMALL, **changes}}))
    spec = spec_of(TuneRequest(root, [str(root / "mine.yaml")], [], space=root / "space.yaml"))
    config = spec.config.section("tune", TuneConfig)
    trial = studies.begin(studies.open_study(spec.folder.path, config.pruner), spec.space, config, spec.seed, None)
    outcome = run_trial(spec, trial.number, {})
    assert (outcome.state, outcome.facts["epochs"]) == ("complete", 2)
    assert (outcome.facts["steps"], outcome.facts["rows_read"]) == (2 * 5, 2 * 300)


def test_a_trial_that_diverges_is_a_failed_trial(tmp_path):
    outcome = run_trial(spec_in(tmp_path), 0, {"trainer.fit.learning_rate": 1e30})
    assert (outcome.state, outcome.value) == ("failed", None)
    assert "gradient norm" in outcome.reason


def test_faults_of_the_data_end_the_search(tmp_path):
    spec = spec_in(tmp_path)
    for file in (tmp_path / "tables" / "examples_valid").iterdir():
        file.write_bytes(b"torn")
    with pytest.raises(DataContractError, match="examples_valid"):
        run_trial(spec, 0, {})


def test_two_ranks_end_a_trial_together_where_the_study_says_so(tmp_path):
    """An earlier trial stands in the study with values that no other reaches."""
    spec = spec_in(tmp_path, launcher="horovodrun", workers=2, batch_rows=16, fit={**SMALL["fit"], "patience": None})
    config = spec.config.section("tune", TuneConfig)
    study = studies.open_study(spec.folder.path, config.pruner)
    first = studies.begin(study, spec.space, config, spec.seed, None)
    studies.report(study, first.number, {1: 0.97, 2: 0.98, 3: 0.99})
    studies.tell(study, first.number, TrialState.COMPLETE, 0.99)
    trial = studies.begin(study, spec.space, config, spec.seed, None)
    outcome = run_trial(spec, trial.number, dict(trial.params))
    assert (outcome.state, outcome.facts["epochs"], outcome.facts["pruned"]) == ("pruned", 2, True)
    assert len((spec.folder / record.name_of(trial.number) / "ranks").glob("rank-*.json")) == 2
    again = studies.open_study(spec.folder.path, config.pruner).trials[trial.number]
    assert sorted(again.intermediate_values) == [1, 2]
