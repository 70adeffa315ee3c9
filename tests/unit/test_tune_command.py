"""What `nightrank tune` is asked for: which run, which configuration, which study; and what is refused before any process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, NothingToDo, UsageError
from nightrank.feature_store.contracts.files import write_json
from nightrank.pipeline.commands.tunes import _show
from nightrank.pipeline.config import CONF
from nightrank.pipeline.tune.request import TuneRequest, spec_of
from nightrank.pipeline.tune.search import plan_of, tune
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.config.tune import TuneConfig
from nightrank.trainer.tune.objective import build_job
from nightrank.trainer.tune.spec import NOTE
from tests.training_jobs import small_lake
from tests.training_lake import row, write_run, write_snapshot

RUN = "full-2024-01-01"


def finished_run(root: Path, run_id: str = RUN, snapshot=None, **config) -> None:
    run_dir = write_run(root, run_id, snapshot or small_lake(root, users=30), {"trainer": {"workers": 1}, **config})
    write_json(run_dir / "result.json", {"status": "done"})


def request(root: Path, *overrides: str, **more) -> TuneRequest:
    return TuneRequest(root, more.pop("files", []), list(overrides), **more)


def test_the_configuration_is_that_of_the_run_with_what_is_set(tmp_path: Path) -> None:
    """Of a run that was made before there was a section `tune`, too."""
    finished_run(tmp_path)
    made = spec_of(request(tmp_path, "trainer.batch_rows=8"))
    assert (made.run_id, made.config.tree["trainer"]["workers"], made.config.tree["trainer"]["batch_rows"]) == (RUN, 1, 8)
    assert made.config.section("tune", TuneConfig).pruner.name == "median"
    assert made.differing["trainer"] == {"workers": 1, "batch_rows": 8}
    assert len(made.space) == 6


def test_the_newest_finished_full_run_is_taken(tmp_path: Path) -> None:
    finished_run(tmp_path)
    for run_id in ("full-2024-01-01-r2", "full-2024-01-01-r10", "nightly-2024-01-02"):
        finished_run(tmp_path, run_id)
    write_run(tmp_path, "full-2024-01-01-r11", small_lake(tmp_path, users=30), {})
    assert spec_of(request(tmp_path)).run_id == "full-2024-01-01-r10"
    assert spec_of(request(tmp_path, run_id=RUN)).run_id == RUN


def test_without_a_finished_full_run_there_is_nothing_to_do(tmp_path: Path) -> None:
    finished_run(tmp_path, "nightly-2024-01-02")
    with pytest.raises(NothingToDo, match="no full run has finished"):
        spec_of(request(tmp_path))


def test_a_run_without_validation_rows_is_refused(tmp_path: Path) -> None:
    night = write_snapshot(tmp_path, {"train": [row(1, [1, 2, 3], 1, "train")]}, 3, 1)
    finished_run(tmp_path, "nightly-2024-01-02", night)
    with pytest.raises(UsageError, match="nightly-2024-01-02 has 1 training and 0 validation rows"):
        spec_of(request(tmp_path, run_id="nightly-2024-01-02"))


def test_a_run_whose_snapshot_is_gone_is_refused(tmp_path: Path) -> None:
    finished_run(tmp_path)
    for file in (tmp_path / "snapshots").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match=f"snapshot .* of run {RUN} is no longer kept"):
        spec_of(request(tmp_path))


BAD = [
    (["training_set.max_length=20", "training_set.overlap=5"], [], "training_set.max_length is 20, but run .* with 50"),
    (["text.encoder=none"], [], "text.encoder is 'none'"),
    ([], ["amazon-games"], "training_set.collapse_repeats is False"),
    (["trainer.fit.epochs=0"], [], "trainer.fit.epochs is 0"),
    (["tune.pruner.name=best"], [], "tune.pruner.name"),
]


@pytest.mark.parametrize(("overrides", "files", "message"), BAD)
def test_a_configuration_the_training_set_was_not_made_by_is_refused(tmp_path: Path, overrides, files, message) -> None:
    finished_run(tmp_path)
    with pytest.raises(ConfigError, match=message) as caught:
        spec_of(request(tmp_path, *overrides, files=files))
    assert caught.value.remedy


def test_a_file_stands_for_the_runs_configuration_and_its_trials_have_it(tmp_path: Path) -> None:
    """What the run was configured with and the file leaves out is the default again; `--set` comes after the file."""
    finished_run(tmp_path, trainer={"workers": 1, "batch_rows": 4})
    file = tmp_path / "other.yaml"
    file.write_text("seed: 5\ntrainer: {batch_rows: 8, fit: {epochs: 2}, model: {encoder: {blocks: 3}}}\n")
    made = spec_of(request(tmp_path, "trainer.fit.epochs=7", files=[str(file)]))
    job = build_job(made, 0, {"trainer.model.width": 96})
    assert (job.config.batch_rows, job.config.fit.epochs, job.config.model.encoder.blocks) == (8, 7, 3)
    assert (job.seed, job.config.model.width, job.config.workers) == (5, 96, TrainerConfig().workers)
    assert made.study != spec_of(request(tmp_path)).study


def test_the_command_plans_a_study_of_the_file_it_was_given(tmp_path: Path) -> None:
    finished_run(tmp_path)
    file = tmp_path / "other.yaml"
    file.write_text("trainer: {batch_rows: 8}\n")
    for files in ([], [str(file)]):
        named = [part for name in files for part in ("--config", name)]
        command = [
            sys.executable,
            "-m",
            "nightrank.pipeline.cli",
            "tune",
            "--root",
            str(tmp_path),
            "--dry-run",
            "--json",
            *named,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert json.loads(done.stdout)["study"] == spec_of(request(tmp_path, files=files)).study, done.stderr


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    finished_run(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    plan = plan_of(spec_of(request(tmp_path, trials=7)))
    assert (plan["status"], plan["run_id"], plan["trials"], plan["begun"]) == ("planned", RUN, 7, 0)
    assert plan["space"]["trainer.model.width"] == {"choices": [96, 192, 288]}
    assert plan["process"][1:4] == ["-m", "nightrank.trainer.tune.run", "--study-dir"]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("trials", "exhausted", "wanted"), [(7, False, 3), (9, False, None), (9, True, 3)])
def test_a_study_that_has_enough_starts_no_process(tmp_path: Path, monkeypatch, trials, exhausted, wanted) -> None:
    finished_run(tmp_path)
    spec = spec_of(request(tmp_path, trials=trials))
    write_json(spec.result_path, {"trials": 7, "exhausted": exhausted})
    monkeypatch.setattr("nightrank.pipeline.tune.search._search", lambda spec: 0)
    assert plan_of(spec)["status"] == ("already_done" if wanted else "planned")
    answer = tune(spec)
    assert (answer["status"], answer["exit_code"]) == (("already_done", 3) if wanted else ("stopped", 0))


def test_the_default_space_is_the_packaged_one(tmp_path: Path) -> None:
    finished_run(tmp_path)
    assert spec_of(request(tmp_path)).study == spec_of(request(tmp_path, space=CONF / "tune.yaml")).study


def test_a_person_sees_the_best_trials_first_and_what_they_were_chosen_by(capsys) -> None:
    facts = {"epochs": 3, "seconds": 1.0, "reason": None}
    trials = [
        {**facts, "trial": 0, "state": "complete", "value": 0.25, "params": {"trainer.fit.learning_rate": 0.001}},
        {**facts, "trial": 1, "state": "complete", "value": 0.5, "params": {"trainer.fit.learning_rate": 0.0123456}},
        {**facts, "trial": 2, "state": "pruned", "value": None, "params": {"trainer.fit.learning_rate": 0.7}},
    ]
    counts = {"study": "s", "status": "already_done", "trials": 3, "pruned": 1, "failed": 0, "chosen_by": NOTE}
    _show({**counts, "all": trials, "pictures": {"history": "h.png"}, "overlay": "lake/best.yaml"})
    shown = " ".join(capsys.readouterr().out.split())
    assert "study s: already done, 3 trials, 1 pruned, 0 failed" in shown
    assert shown.index("0.5000") < shown.index("0.2500") and "learning_rate 0.01235" in shown and "0.7" not in shown
    assert "test split was not read" in shown and "nightrank full --config lake/best.yaml" in shown
