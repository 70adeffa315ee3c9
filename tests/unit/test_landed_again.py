"""Files for a date that is finished: the identical ones are nothing new, others are refused or taken in by `redo`."""

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pipeline_fakes import DAY, landed_lake, request_for, trace, write_stage

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.errors import SafetyRefusal
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_files import landing_entries
from nightrank.feature_store.contracts.taken_in import correct, other_files, remember, taken_day
from nightrank.pipeline.orchestrated import Orchestrated
from nightrank.pipeline.runner import Runner
from tests.evaluation_lake import ref_of

NIGHT, NEXT = date(2024, 1, 2), date(2024, 1, 3)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return landed_lake(tmp_path / "lake")


@pytest.fixture
def run(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A full run over the first day and a night, both finished, whose files are known."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    runner = Runner((replace(write_stage(tmp_path / "modules", "one"), takes_in=True),), finish=())
    ref_of("models/n", "full-2024-01-01", 1, DAY.isoformat()).save(lake.champion_path)
    for kind, day in (("full", DAY), ("nightly", NIGHT)):
        assert runner.run(request_for(lake, kind, day))["status"] == "done"
        take_in(lake, f"{kind}-{day}", day)
    return runner


def take_in(lake: Lake, run_id: str, day: date) -> None:
    remember(lake, run_id, {day: landing_entries(lake, "events", [day])})


def file_of(lake: Lake, day: date, name: str = "part-0.parquet") -> Path:
    return (lake.landing_day("events", day) / name).path


def land_other(lake: Lake, day: date, name: str = "part-0.parquet", kind: str = "events") -> None:
    schema = schemas.LANDING_EVENTS if kind == "events" else schemas.LANDING_ITEMS
    row = dict.fromkeys(schema.names) | {"item_id": f"other-{name}"}
    (lake.landing_day(kind, day)).mkdir()
    pq.write_table(pa.Table.from_pylist([row], schema), (lake.landing_day(kind, day) / name).path)


def test_the_identical_file_again_is_a_no_op_whenever_and_under_whichever_name(lake: Lake, run: Runner) -> None:
    content = file_of(lake, NIGHT).read_bytes()
    file_of(lake, NIGHT).unlink()
    file_of(lake, NIGHT, "sent-again.parquet").write_bytes(content)
    os.utime(file_of(lake, NIGHT, "sent-again.parquet"), (1, 1))
    assert run.run(request_for(lake, "nightly", NIGHT))["status"] == "already_done"
    file_of(lake, NIGHT, "sent-again.parquet").unlink()
    assert run.run(request_for(lake, "nightly", NIGHT))["status"] == "already_done", "what was taken away is no other file"
    assert trace(lake) == ["one", "one"]


@pytest.mark.parametrize("name", ["part-0.parquet", "part-1.parquet"])
def test_another_file_is_refused_by_name_and_taken_in_by_redo(lake: Lake, run: Runner, name: str) -> None:
    land_other(lake, NIGHT, name)
    before = sorted((path.key, entry.modified) for path, entry in lake.root.walk())
    words = rf"2024-01-02 is finished, and .*day=2024-01-02/{name} differs from what was taken in of it"
    for refused in (run.run, run.plan, Orchestrated(run).open):
        with pytest.raises(SafetyRefusal, match=words) as error:
            refused(request_for(lake, "nightly", NIGHT))
        assert error.value.exit_code == 9 and "--redo" in error.value.remedy
    assert sorted((path.key, entry.modified) for path, entry in lake.root.walk()) == before
    again = run.run(request_for(lake, "nightly", NIGHT, redo=True))
    assert (again["run_id"], again["status"]) == ("nightly-2024-01-02-r2", "done")
    take_in(lake, again["run_id"], NIGHT)
    assert run.run(request_for(lake, "nightly", NIGHT))["status"] == "already_done"


def test_an_older_date_is_refused_too_and_redo_takes_it_in_as_a_back_fill(lake: Lake, run: Runner) -> None:
    ref_of("models/m", "nightly-2024-01-03", 2, NEXT.isoformat()).save(lake.champion_path)
    land_other(lake, NIGHT)
    with pytest.raises(SafetyRefusal) as error:
        run.run(request_for(lake, "nightly", NIGHT))
    assert "put the files of then back" in error.value.remedy and "taken in as a back-fill" in error.value.remedy
    again = run.run(request_for(lake, "nightly", NIGHT, redo=True))
    assert (again["run_id"], again["back_fill_of"]) == ("nightly-2024-01-02-r2", "2024-01-03")


def test_a_full_run_looks_at_every_day_that_it_took_in_and_at_no_later_one(lake: Lake, run: Runner) -> None:
    land_other(lake, NIGHT)
    assert run.run(request_for(lake))["status"] == "already_done"
    land_other(lake, DAY)
    with pytest.raises(SafetyRefusal, match="2024-01-01 is finished"):
        run.run(request_for(lake))


def test_a_day_that_another_finished_run_took_in_is_finished(lake: Lake, run: Runner) -> None:
    assert run.run(request_for(lake, "nightly", NEXT))["status"] == "done"
    take_in(lake, "nightly-2024-01-03", NIGHT)
    lake.run_dir("nightly-2024-01-02").remove_tree()
    land_other(lake, NIGHT)
    with pytest.raises(SafetyRefusal, match="2024-01-02 is finished"):
        run.run(request_for(lake, "nightly", NIGHT))


def test_a_catalogue_that_landed_since_is_named_and_nothing_is_refused(lake: Lake, run: Runner) -> None:
    land_other(lake, NIGHT, kind="items")
    again = run.run(request_for(lake, "nightly", NIGHT))
    assert again["status"] == "already_done"
    assert "part-0.parquet landed since: the next date without a catalogue of its own takes it in" in again["note"]


def test_files_that_an_erasure_wrote_again_are_those_of_the_day(lake: Lake, run: Runner) -> None:
    land_other(lake, NIGHT)
    land_other(lake, NIGHT, "part-1.parquet")
    correct(lake, NIGHT)
    assert [path.name for path in other_files(lake, [NIGHT])] == ["part-1.parquet"], "this one was never taken in"
    taken = taken_day(lake, NIGHT)
    assert taken is not None and (taken.run_id, len(taken.files)) == ("nightly-2024-01-02", 2)
    file_of(lake, NIGHT, "part-1.parquet").unlink()
    assert run.run(request_for(lake, "nightly", NIGHT))["status"] == "already_done"
