"""Two real ranks: they equal one, survive being killed, and are ended when one of them stops moving."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nightrank.feature_store.contracts.config import overlay
from nightrank.feature_store.contracts.errors import StalledError
from nightrank.feature_store.contracts.failpoints import VARIABLE
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.trainer.launch import environment_of_workers
from nightrank.trainer.launch.supervise import end_leftovers, supervise
from tests.text_models import text_inputs, texts, tiny_bert, vectors
from tests.training_jobs import SMALL, job_of, small_lake
from tests.training_lake import leave_one_out, synthetic_sequences, write_run, write_snapshot

pytestmark = pytest.mark.distributed

TWO = {**SMALL, "launcher": "horovodrun", "workers": 2, "batch_rows": 16, "checkpoint": {"every_steps": 4}}
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


def stage(run_dir: Path, failpoint: str = "", module: str = "nightrank.trainer.stages.train") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", module, "--run-dir", str(run_dir)],
        cwd=PROJECT,
        env={**os.environ, VARIABLE: failpoint},
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> tuple[int, str]:
    _, errors = process.communicate(timeout=240)
    return process.returncode, errors


def two_ranks(job, *command: str) -> None:
    env = environment_of_workers(job)
    runner = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2", sys.executable]
    subprocess.run([*runner, *command], check=True, cwd=PROJECT, env=env, timeout=240, capture_output=True)


def test_two_ranks_renew_tuned_texts_together_and_train_one_encoder(tmp_path):
    bert, tokens = tiny_bert(tmp_path / "bert"), texts(60)
    settings = TextSettings(encoder=str(bert))
    rows = leave_one_out(synthetic_sequences(60, 60))
    snapshot = write_snapshot(
        tmp_path, rows, 60, 60, text=vectors(bert, tokens), tokens=tokens, text_revision=text_model(settings).revision
    )
    item = {"text": {"name": "lora", "rank": 2, "items_per_step": 8}}
    config = overlay(TWO, {"model": {"item": item}, "fit": {"epochs": 2}, "optimizer": {"text_rate": 1.0}})
    run_dir = write_run(tmp_path, "lora", snapshot, {"trainer": config, "text": {"encoder": str(bert)}})
    code, errors = ended(stage(run_dir))
    assert code == 0, errors
    made = read_json(run_dir / "train" / "result.json")
    assert made["training"]["world_size"] == 2
    bundle = load_bundle(tmp_path / made["model_files"]["live"])
    assert any(value.any() for key, value in bundle.weights.items() if "lora_B" in key)
    known = text_inputs(bert, 60, 60)
    ranker = bundle.ranker(known, bert)
    with_text = (ranker.items.text_tower.lengths > 0).nonzero().flatten()
    again = ranker.items.text_tower.without_gradient(with_text)
    torch.testing.assert_close(ranker.items.text_matrix[with_text], again, atol=2e-2, rtol=0)
    assert not torch.allclose(again, known.text[with_text], atol=1e-3)


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax"])
def test_two_ranks_with_half_batches_equal_one_rank_with_whole_ones(lake, tmp_path, loss):
    root, snapshot = lake
    path = root / "snapshots" / f"{snapshot.id}.json"
    worker = ["-m", "tests.distributed.step_worker", str(root), str(path)]
    two_ranks(job_of(root, snapshot, TWO), *worker, str(tmp_path / "two.json"), "horovod", loss)
    single = [sys.executable, *worker, str(tmp_path / "one.json"), "single", loss]
    subprocess.run(single, check=True, cwd=PROJECT, timeout=240)
    (one,), two = read_json(tmp_path / "one.json"), read_json(tmp_path / "two.json")
    assert two[0]["rows"] == [8, 8]
    assert one["rows"] == [16]
    assert two[0]["losses"] == two[1]["losses"]
    assert two[0]["norm"] == two[1]["norm"]
    assert two[0]["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert two[0]["norm"] == pytest.approx(one["norm"], rel=1e-4)
    assert one["losses"][-1] != pytest.approx(one["losses"][0], rel=1e-3)


def test_killed_at_a_checkpoint_and_run_again_ends_in_the_same_bytes(lake):
    root, snapshot = lake
    whole = write_run(root, "whole", snapshot, {"trainer": TWO})
    code, errors = ended(stage(whole))
    assert code == 0, errors
    killed = write_run(root, "killed", snapshot, {"trainer": TWO})
    code, errors = ended(stage(killed, "train.checkpoint.after"))
    assert code == 6, errors
    assert "rank 0 of 2" in errors
    assert "was lost" in errors
    code, errors = ended(stage(killed))
    assert code == 0, errors
    first, second = (read_json(run / "stages" / "train.json")["output"] for run in (whole, killed))
    assert second["training"]["resumed_from"] is not None
    assert second["curves"] == first["curves"]
    assert second["model_files"]["live"] == first["model_files"]["live"]
    assert second["model_files"]["measured"] == first["model_files"]["measured"]
    assert first["training"]["world_size"] == 2
    assert first["training"]["rows_read"] == second["training"]["rows_read"]
    assert first["training"]["backend"] == "horovod-gloo"
    assert ended(stage(killed))[0] == 0, "a stage that is done is done again at once"


def running_worker(run_dir: Path, rank: int, process: subprocess.Popen) -> int:
    """The pid of a rank that has taken a few steps."""
    path = run_dir / "train" / "ranks" / f"rank-{rank}.json"
    for _ in range(1200):
        assert process.poll() is None, process.communicate()[1]
        if path.exists() and (body := read_json(path))["step"] > 3:
            return int(body["pid"])
        time.sleep(0.1)
    raise AssertionError("the rank took no step within two minutes")


@pytest.mark.parametrize(
    ("sent", "message"), [(signal.SIGKILL, "was lost"), (signal.SIGSTOP, "gave no sign of life")], ids=["killed", "stopped"]
)
def test_a_rank_that_is_lost_ends_the_stage_with_6_and_its_name(lake, sent, message):
    root, snapshot = lake
    endless = {
        **TWO,
        "fit": {"epochs": 100_000, "learning_rate": 1e-3},
        "validation": {"every_epochs": 1000},
        "watchdog": {"timeout_seconds": 5, "beat_seconds": 0.2},
    }
    run_dir = write_run(root, f"signal-{int(sent)}", snapshot, {"trainer": endless})
    process = stage(run_dir)
    pid = running_worker(run_dir, 1, process)
    other = running_worker(run_dir, 0, process)
    started = time.monotonic()
    os.kill(pid, sent)
    code, errors = ended(process)
    assert code == 6, errors
    assert "rank 1 of 2" in errors
    assert message in errors
    assert "its last step was" in errors
    assert time.monotonic() - started < 45
    for rank in (pid, other):
        with pytest.raises(ProcessLookupError):
            os.kill(rank, 0)
    error = read_json(run_dir / "stages" / "train.error.json")
    assert error["code"] == "stalled"
    if sent == signal.SIGSTOP:
        assert "Current thread" in errors or "Thread 0x" in errors


def test_a_rank_in_a_python_loop_is_named_with_its_stack(lake):
    root, snapshot = lake
    watchdog = {"timeout_seconds": 4, "startup_seconds": 60, "beat_seconds": 0.2}
    job = job_of(root, snapshot, {**TWO, "watchdog": watchdog}, run_id="loops")
    end_leftovers(job)
    job.save()
    command = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2"]
    command += [sys.executable, "-m", "tests.distributed.looping_worker", str(job.path)]
    with pytest.raises(StalledError) as raised:
        supervise(command, environment_of_workers(job), job)
    assert raised.value.message.startswith("rank 1 of 2")
    assert "its last step was 5" in raised.value.message
    assert "goes_round_for_ever" in raised.value.message


def test_a_rank_killed_before_it_came_up_ends_with_6_and_its_name(lake):
    root, snapshot = lake
    job = job_of(root, snapshot, TWO, run_id="never-up")
    end_leftovers(job)
    job.save()
    dies = "import os, signal; os.environ['HOROVOD_RANK'] == '1' and os.kill(os.getpid(), signal.SIGKILL); signal.pause()"
    command = [sys.executable, "-m", "horovod.runner.launch", "--gloo", "-np", "2", "-H", "localhost:2"]
    command += [sys.executable, "-c", dies]
    with pytest.raises(StalledError, match=r"rank 1 of 2 was lost .* before it came up"):
        supervise(command, environment_of_workers(job), job)


def test_workers_do_not_outlive_a_launcher_that_was_killed(lake):
    root, snapshot = lake
    endless = {**TWO, "fit": {"epochs": 100_000, "learning_rate": 1e-3}, "validation": {"every_epochs": 1000}}
    run_dir = write_run(root, "orphans", snapshot, {"trainer": endless})
    process = stage(run_dir)
    pids = [running_worker(run_dir, rank, process) for rank in (0, 1)]
    process.kill()
    process.communicate()
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.1)
    raise AssertionError(f"workers {pids} outlived their launcher: {json.dumps(pids)}")


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize(("launcher", "backend"), [("spark", "horovod-gloo"), ("torch_distributor", "torch-gloo")])
def test_two_ranks_train_on_the_executors_of_a_spark_session(lake, launcher, backend):
    root, snapshot = lake
    config = {**TWO, "launcher": launcher, "watchdog": {"timeout_seconds": 60, "startup_seconds": 240}}
    run_dir = write_run(root, launcher, snapshot, {"trainer": config, "spark": {"master": "local[2]", "packages": []}})
    code, errors = ended(stage(run_dir))
    assert code == 0, errors
    training = read_json(run_dir / "stages" / "train.json")["output"]["training"]
    assert (training["launcher"], training["world_size"], training["backend"]) == (launcher, 2, backend)
    assert training["rows_read"][0] > 0 and training["rows_read"][1] > 0
