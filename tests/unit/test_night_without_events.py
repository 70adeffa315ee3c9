"""A date on which only items or users landed: the night trains nothing, and the champion makes the lists anew."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from finished_run import RELEASE, write_release
from pipeline_fakes import DAY, landed_lake, request_for, trace, write_stage

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.current import found_now
from nightrank.pipeline.orchestrated import Orchestrated
from nightrank.pipeline.report.overview import headline
from nightrank.pipeline.report.quality import gate as gate_view
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage, stages_of
from nightrank.trainer.stages import gate
from tests import evaluation_lake
from tests.evaluation_lake import ref_of

LAST, NIGHT = date(2024, 1, 3), date(2024, 1, 4)
"""The lake's last day with events, and the day after."""
NAMES = {"events": schemas.LANDING_EVENTS, "items": schemas.LANDING_ITEMS, "users": schemas.LANDING_USERS}


def land(lake: Lake, kind: LandingKind, day: date, rows: int = 1) -> None:
    folder = lake.landing_day(kind, day)
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([{"item_id": "i"}] * rows, NAMES[kind]), folder / "part-1.parquet")


def champion_of(lake: Lake, day: date) -> None:
    ref_of("models/n", f"nightly-{day}", 1, day.isoformat()).save(lake.champion_path)


def without_events(lake: Lake, day: date = NIGHT, kind: str = "nightly") -> bool:
    return found_now(lake, "run", kind, day).without_events


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Events of three days, all of them learnt, and items on the fourth."""
    lake = landed_lake(tmp_path / "lake")
    champion_of(lake, LAST)
    land(lake, "items", NIGHT)
    return lake


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, ...]:
    folder = tmp_path / "modules"
    monkeypatch.setenv("PYTHONPATH", str(folder))
    take, learn, judge, make = (write_stage(folder, name) for name in ("take", "learn", "judge", "make"))
    learn, judge = replace(learn, needs=("take",), learns=True), replace(judge, needs=("learn",), learns=True)
    return replace(take, takes_in=True), learn, judge, replace(make, needs=("judge",), changes_lists=True)


@pytest.mark.parametrize("kind", ["items", "users"])
def test_items_or_users_alone_are_a_night_without_events(lake: Lake, kind: LandingKind) -> None:
    day = date(2024, 1, 5)
    land(lake, kind, day)
    assert without_events(lake, day)


def test_an_event_of_the_date_or_of_one_that_no_run_took_in_is_learnt(lake: Lake) -> None:
    assert without_events(lake)
    champion_of(lake, date(2024, 1, 2))
    assert not without_events(lake), "the events of the day before are in no release"
    champion_of(lake, LAST)
    land(lake, "events", NIGHT, rows=0)
    assert without_events(lake), "a file without rows brings none"
    land(lake, "events", NIGHT)
    assert not without_events(lake)


def test_a_run_that_was_cut_off_after_its_release_still_has_its_events_to_learn(lake: Lake) -> None:
    champion_of(lake, date(2024, 1, 2))
    write_release(lake, Release(**{**RELEASE, "run_id": "night", "date": str(NIGHT)}, manifest_sha256="m", snapshot_id="s"))
    assert not found_now(lake, "night", "nightly", NIGHT).without_events
    assert found_now(lake, "another", "nightly", NIGHT).without_events


def test_an_empty_date_a_full_run_an_older_date_and_a_lake_without_champion_are_what_they_were(lake: Lake) -> None:
    assert not without_events(lake, date(2024, 1, 5)), "nothing landed at all"
    assert not without_events(lake, kind="full")
    land(lake, "items", date(2024, 1, 6))
    champion_of(lake, date(2024, 1, 6))
    assert found_now(lake, "run", "nightly", NIGHT).newer == "2024-01-06" and not without_events(lake)
    lake.champion_path.unlink()
    assert not without_events(lake)


def test_it_runs_all_that_does_not_learn_and_is_done_once(lake: Lake, stages: tuple[Stage, ...]) -> None:
    run, request = Runner(stages, finish=()), request_for(lake, "nightly", NIGHT)
    plan = run.plan(request)
    assert [stage["name"] for stage in plan["stages"]] == ["take", "make"]
    assert plan["note"] == "no event landed: nothing is trained, and the champion makes the lists again"
    result = run.run(request)
    assert (result["status"], result["exit_code"], trace(lake)) == ("done", 0, ["take", "make"])
    assert run.run(request)["status"] == "already_done" and trace(lake) == ["take", "make"]
    assert run.run_stage(request, "make")["status"] == "done"
    with pytest.raises(UsageError, match="no stage 'learn'"):
        run.run_stage(request, "learn")


def test_an_orchestrators_tasks_go_on_behind_those_that_learn(lake: Lake, stages: tuple[Stage, ...]) -> None:
    night, request = Orchestrated(Runner(stages, finish=())), request_for(lake, "nightly", NIGHT)
    assert night.open(request)["exit_code"] == 0
    answers = {name: night.work(request, [name]) for name in ("take", "learn", "judge", "make")}
    assert [answer["exit_code"] for answer in answers.values()] == [0] * 4 and trace(lake) == ["take", "make"]
    assert "nothing is trained" in answers["learn"]["note"]
    night.close(request)
    assert night.open(request)["status"] == "already_done"


def test_a_night_that_was_cut_off_learns_the_events_that_landed_meanwhile(lake: Lake, stages: tuple[Stage, ...]) -> None:
    folder = Path(str(lake.root)).parent / "modules"
    write_stage(folder, "make", "raise errors.DependencyUnreachable('tracker is away', 'start it')")
    run, request = Runner(stages, finish=()), request_for(lake, "nightly", NIGHT)
    assert run.run(request)["exit_code"] == 8
    write_stage(folder, "make")
    land(lake, "events", NIGHT)
    assert run.run(request)["status"] == "done"
    assert trace(lake) == ["take", "make", "take", "learn", "judge", "make"]
    assert read_json(lake.run_dir("nightly-2024-01-04") / "run.json")["found"]["without_events"] is False


def test_a_date_whose_events_land_after_its_run_is_run_once_more(lake: Lake, stages: tuple[Stage, ...]) -> None:
    run, request = Runner(stages, finish=()), request_for(lake, "nightly", NIGHT)
    assert run.run(request)["run_id"] == "nightly-2024-01-04"
    land(lake, "items", NIGHT, rows=2)
    assert run.run(request)["status"] == "already_done", "the next night takes that in"
    land(lake, "events", NIGHT)
    assert [stage["name"] for stage in run.plan(request)["stages"]] == ["take", "learn", "judge", "make"]
    again = run.run(request)
    assert (again["run_id"], again["status"]) == ("nightly-2024-01-04-r2", "done")
    assert trace(lake) == ["take", "make", "take", "learn", "judge", "make"]
    assert run.run(request)["status"] == "already_done"


def test_an_empty_date_still_ends_as_3(lake: Lake, stages: tuple[Stage, ...]) -> None:
    result = Runner(stages, finish=()).run(request_for(lake, "nightly", date(2024, 1, 5)))
    assert (result["status"], result["exit_code"], trace(lake)) == ("nothing", 3, [])


def test_stages_stand_on_what_those_that_learn_stand_on() -> None:
    listed = {
        stage.name: stage.needs
        for stage in stages_of("nightly", Configuration.from_run({"impressions": {"enabled": True}}), without_events=True)
    }
    assert listed.keys() == {
        *("check_day", "ingest_events", "build_features", "embed_items", "build_training_set"),
        *("gate", "score_users", "release", "score_ctr", "maintain_tables", "report", "verdict"),
    }
    assert listed["gate"] == ("build_training_set",) and listed["score_ctr"] == ("release", "build_training_set")


def test_the_gate_names_the_champion_and_says_that_there_was_no_challenger(tmp_path: Path) -> None:
    snapshot = evaluation_lake.published(tmp_path, evaluation_lake.sequences(20))
    ref_of(evaluation_lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    context = evaluation_lake.context_of(tmp_path, kind="nightly")
    found = found_now(context.lake, context.run_id, "full", DAY).model_copy(update={"without_events": True})
    context = replace(context, found=found)
    evaluation_lake.stage(context, "build_training_set", output=evaluation_lake.training_set(snapshot))
    before = context.lake.champion_path.read_bytes()
    left = gate.run(context).output.sections
    champion = context.lake.expect_champion()
    assert left["lists_by"] == {"manifest_sha256": champion.manifest_sha256, "version": champion.version}
    body = left["gate"]
    assert (body["decision"], body["challenger"], body["n"]) == ("no_challenger", None, 0)
    assert body["reasons"] == ["no event landed for 2024-03-01, so no model was trained"]
    assert context.lake.champion_path.read_bytes() == before
    assert not (context.run_dir / "gate.json").exists(), "there was nothing to decide, and later nights pool over it"
    view = gate_view(body)
    assert view is not None and view.chart is None and "no model was trained" in view.meaning
    result = {
        "status": "done",
        "stages": [],
        "gate": body,
        "release": {"users": 3, "model": {"name": "nightrank", "version": 1}},
    }
    assert headline(result) == (
        "No event landed, only changes of items or users, so no model was trained and nightrank v1 made the lists, "
        "and 3 users have lists of one release."
    )
