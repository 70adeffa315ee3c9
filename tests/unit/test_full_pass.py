"""A full training in place of a night: by schedule or because the retention report asks. A date keeps what it was begun as."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from pipeline_fakes import DAY, landed_lake, request_for, write_stage

from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.full_pass import as_due
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.runner import Runner
from tests.evaluation_lake import ref_of

DAYS = [DAY + timedelta(days=number) for number in range(6)]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A full run of the first day and nights of the next two."""
    lake = landed_lake(tmp_path / "lake", days=6)
    write_json(lake.run_dir(f"full-{DAY}") / "run.json", {"kind": "full", "date": str(DAY)})
    ref_of("models/f", f"full-{DAY}", 1, str(DAY)).save(lake.run_dir(f"full-{DAY}") / "model_ref.json")
    for day in DAYS[1:3]:
        ended(lake, day)
    return lake


def ended(lake: Lake, day: date, run_id: str = "", **result: object) -> None:
    folder = lake.run_dir(run_id or f"nightly-{day}")
    write_json(folder / "run.json", {"kind": "nightly", "date": str(day)})
    write_json(folder / "result.json", {"status": "done", "date": str(day), **result})
    ref_of("models/n", folder.name, 2, str(day)).save(lake.champion_path)


def night(lake: Lake, day: date = DAYS[3], **retention: object) -> RunRequest:
    return request_for(lake, "nightly", day, retention=retention)


def test_by_default_a_night_is_a_night(lake: Lake) -> None:
    assert as_due(night(lake)) == night(lake)


@pytest.mark.parametrize(("every", "kind"), [(2, "full"), (3, "full"), (4, "nightly")])
def test_every_third_night_is_a_full_training_and_says_why(lake: Lake, every: int, kind: str) -> None:
    found = as_due(night(lake, full_every=every))
    assert found.kind == kind
    words = f"a full pass is due: night 3 since the full run of {DAY}, and retention.full_every is {every}"
    assert found.because == (words if kind == "full" else "")


def test_the_report_of_the_last_night_is_asked_and_no_older_one(lake: Lake) -> None:
    report = {"asks_for_full": True, "note": "much is lost", "rows": [], "cohort": None}
    ended(lake, DAYS[1], retention=report)
    assert as_due(night(lake)).kind == "nightly"
    ended(lake, DAYS[2], f"nightly-{DAYS[2]}-r2", retention=report)
    found = as_due(night(lake))
    assert (found.kind, found.because) == (
        "full",
        f"the retention report of {DAYS[2]} asks for a full pass: much is lost",
    )
    assert as_due(night(lake, full_on_drop=False)).kind == "nightly"


def test_back_fills_and_what_was_begun_as_a_night_and_empty_dates_stay_nights(lake: Lake) -> None:
    due = {"full_every": 1}
    assert as_due(night(lake, DAYS[1], **due)).kind == "nightly", "finished"
    ended(lake, DAYS[4])
    assert as_due(night(lake, DAYS[3], **due)).kind == "nightly", "an older date is a back-fill"
    assert as_due(night(lake, DAYS[5], **due)).kind == "full"
    (lake.landing_day("events", DAYS[5]) / "part-0.parquet").unlink()
    assert as_due(night(lake, DAYS[5], **due)).kind == "nightly", "nothing landed"
    assert as_due(request_for(lake, "full", DAYS[5])).because == ""


def test_the_run_says_why_and_the_same_command_finds_it_done(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    run = Runner((write_stage(tmp_path / "modules", "one"),), finish=())
    request = as_due(night(lake, full_every=3))
    assert run.plan(request)["note"] == request.because and run.plan(request)["run_id"] == f"full-{DAYS[3]}"
    result = run.run(request)
    assert (result["run_id"], result["because"]) == (f"full-{DAYS[3]}", request.because)
    assert read_json(lake.run_dir(f"full-{DAYS[3]}") / "run.json")["because"] == request.because
    ref_of("models/g", f"full-{DAYS[3]}", 3, str(DAYS[3])).save(lake.champion_path)
    ref_of("models/g", f"full-{DAYS[3]}", 3, str(DAYS[3])).save(lake.run_dir(f"full-{DAYS[3]}") / "model_ref.json")
    again = as_due(night(lake, full_every=3))
    assert (again.kind, run.run(again)["status"]) == ("full", "already_done")
    assert as_due(night(lake, DAYS[4], full_every=3)).kind == "nightly", "the count begins again"
    assert replace(again, because="") != again
