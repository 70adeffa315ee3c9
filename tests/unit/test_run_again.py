"""A run and its stages again: what a finished run keeps, and what a run of an older date may do."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pipeline_fakes import DAY, landed_lake, request_for, result_of, trace, write_stage

from nightrank.feature_store.contracts.errors import ConflictError, UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.commands.requests import request_of_stage
from nightrank.pipeline.config import configured
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage
from tests.evaluation_lake import ref_of

NIGHT = date(2024, 1, 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return landed_lake(tmp_path / "lake")


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, ...]:
    folder = tmp_path / "modules"
    monkeypatch.setenv("PYTHONPATH", str(folder))
    one = replace(write_stage(folder, "one"), takes_in=True)
    two = replace(write_stage(folder, "two"), needs=("one",), changes_lists=True)
    return one, two, replace(write_stage(folder, "three"), needs=("two",))


def records(lake: Lake, run_id: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (lake.run_dir(run_id) / "stages").children()}


def newer_champion(lake: Lake, day: date) -> None:
    ref_of("models/n", f"nightly-{day}", 2, day.isoformat()).save(lake.champion_path)


def test_a_stage_without_a_configuration_takes_the_runs_own_and_empties_nothing(lake, stages):
    """Case stage_wipes_run: `stage report` without --config, on a run that was made with --config tiny."""
    run = Runner(stages, finish=())
    config = configured(["tiny"], [], lake)
    first = run.run(RunRequest(lake.root, "full", DAY, config))
    again = run.run_stage(request_of_stage("full", lake.root, DAY, None, None), "three")
    assert (again["status"], again["config_sha256"]) == ("done", first["config_sha256"])
    assert trace(lake) == ["one", "two", "three", "three"]


def test_a_stage_under_another_configuration_is_refused_before_anything_is_touched(lake, stages):
    run = Runner(stages, finish=())
    run.run(request_for(lake))
    before, run_json = records(lake, "full-2024-01-01"), (lake.run_dir("full-2024-01-01") / "run.json").read_bytes()
    with pytest.raises(UsageError, match="needs two, which is not done with this configuration"):
        run.run_stage(request_for(lake, scoring={"k": 5}), "three")
    assert records(lake, "full-2024-01-01") == before
    assert (lake.run_dir("full-2024-01-01") / "run.json").read_bytes() == run_json
    assert result_of(lake, "full-2024-01-01")["status"] == "done"


def test_a_later_night_does_not_undo_a_finished_run(lake, stages):
    run = Runner(stages, finish=())
    run.run(request_for(lake))
    newer_champion(lake, NIGHT)
    (lake.landing_day("events", DAY) / "part-1.parquet").write_bytes(b"landed later")
    again = run.run_stage(request_for(lake), "three")
    assert again["status"] == "done" and "back_fill_of" not in again
    assert trace(lake) == ["one", "two", "three", "three"]


def test_a_stage_that_is_run_again_counts_as_a_repetition(lake, stages):
    run = Runner(stages, finish=())
    run.run(request_for(lake))
    run.run_stage(request_for(lake), "three")
    run.run_stage(request_for(lake), "three")
    folder = lake.run_dir("full-2024-01-01")
    assert read_json(folder / "run.json")["repetitions"] == {"three": 2}
    assert read_json(folder / "stages" / "three.json")["repetition"] == 2
    assert read_json(folder / "stages" / "two.json")["repetition"] == 0


def test_a_run_of_an_older_date_than_what_is_current_takes_its_data_in_and_no_more(lake, stages):
    """Case backfill_rewinds, without engines."""
    newer_champion(lake, date(2024, 1, 3))
    run = Runner(stages, finish=())
    assert [s["name"] for s in run.plan(request_for(lake, "nightly", NIGHT))["stages"]] == ["one"]
    result = run.run(request_for(lake, "nightly", NIGHT))
    assert (result["status"], result["back_fill_of"], trace(lake)) == ("done", "2024-01-03", ["one"])
    assert run.run(request_for(lake, "nightly", NIGHT))["status"] == "already_done"
    with pytest.raises(ConflictError, match=r"changes what is live, but the current model or lists are newer \(2024-01-03"):
        run.run_stage(request_for(lake, "nightly", NIGHT), "two")
    assert run.run(request_for(lake, "nightly", date(2024, 1, 3)))["status"] == "done"
    assert trace(lake) == ["one", "one", "two", "three"], "of the current date itself it is a run like any other"


def test_an_unfinished_run_that_another_has_overtaken_ends_as_a_back_fill(lake, stages, tmp_path):
    write_stage(tmp_path / "modules", "two", "raise errors.DependencyUnreachable('tracker is away', 'start it')")
    run = Runner(stages, finish=())
    assert run.run(request_for(lake))["exit_code"] == 8
    newer_champion(lake, NIGHT)
    result = run.run(request_for(lake))
    assert (result["status"], result["back_fill_of"]) == ("done", "2024-01-02")
    assert trace(lake) == ["one", "two"]
