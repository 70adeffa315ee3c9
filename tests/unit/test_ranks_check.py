"""Without Horovod a run that wants ranks ends before its first stage, with a remedy that needs no checkout."""

import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_fakes import landed_lake, request_for, trace, write_stage

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.pipeline.progress import LineProgress
from nightrank.pipeline.run.ranks_check import horovod_problem
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import STAGES, Stage

RANKS = {"launcher": "horovodrun", "workers": 2}


@pytest.fixture
def no_horovod(monkeypatch: pytest.MonkeyPatch) -> None:
    """`import horovod` fails, as where it is not installed."""
    monkeypatch.setitem(sys.modules, "horovod", None)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    first = write_stage(tmp_path / "code", "first")
    write_stage(tmp_path / "code", "ranks")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    stages = (first, Stage("ranks", "fake_ranks", "plain", ("first",), starts_ranks=True))
    return Runner(stages, LineProgress(), finish=())


@pytest.mark.parametrize("launcher", ["horovodrun", "spark", "pods"])
def test_no_stage_runs_where_a_later_one_starts_ranks(no_horovod, runner, tmp_path, launcher):
    lake = landed_lake(tmp_path / "lake")
    request = request_for(lake, trainer={**RANKS, "launcher": launcher})
    for ways in (runner.run, runner.plan):
        with pytest.raises(ConfigError, match=r"stage ranks starts 2 ranks .*Horovod is not installed") as caught:
            ways(request)
        assert "`nightrank horovod`" in caught.value.remedy and "trainer.launcher=one_process" in caught.value.remedy
    assert trace(lake) == [] and not (lake.root / "runs").exists()


def test_a_run_without_ranks_or_with_them_done_needs_no_horovod(no_horovod, runner, tmp_path, monkeypatch):
    lake = landed_lake(tmp_path / "lake")
    assert runner.run(request_for(lake, trainer={**RANKS, "launcher": "one_process"}))["status"] == "done"
    other = landed_lake(tmp_path / "other")
    request = request_for(other, trainer=RANKS)
    with monkeypatch.context() as there:
        there.delitem(sys.modules, "horovod")
        assert runner.run(request)["status"] == "done"
    assert runner.run_stage(request, "first")["error"] is None
    with pytest.raises(ConfigError, match="stage ranks starts"):
        runner.run_stage(request, "ranks")


def test_a_horovod_that_was_built_without_torch_is_found(tmp_path, monkeypatch):
    assert horovod_problem() is None
    (tmp_path / "horovod" / "torch").mkdir(parents=True)
    (tmp_path / "horovod" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "horovod", raising=False)
    assert horovod_problem() == "this Python's Horovod was built without PyTorch"


def test_the_stages_that_start_ranks_are_those_that_launch():
    assert [stage.name for stage in STAGES if stage.starts_ranks] == ["train", "train_ctr"]


def test_the_demo_ends_with_2_and_leaves_no_table(tmp_path):
    program = (
        "import sys; sys.modules['horovod'] = None\n"
        "from nightrank.pipeline.cli import main\nmain(['demo', '--size', 'tiny', '--root', 'demo'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Horovod is not installed" in done.stderr and "nightrank horovod" in done.stderr
    assert (tmp_path / "demo" / "landing").exists() and not (tmp_path / "demo" / "tables").exists()
