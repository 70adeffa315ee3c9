"""Stage check_day on a landed market: a broken day is held, later nights go without it, and once accepted it is folded in."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.errors import DayHeld, NothingToDo, UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.holds import held_days, hold_of, hold_path
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.landing_days import folded_days, landing_days
from nightrank.feature_store.contracts.outputs.checked import Checked
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.pipeline.accept import accept
from nightrank.pipeline.check_day import NAME, run
from nightrank.pipeline.commands.accepting import accept_date_of
from nightrank.pipeline.config import NightConfig
from nightrank.pipeline.run.request import RunRequest
from tests.evaluation_lake import ref_of
from tests.landed_days import labels_shuffled, landed_days

DAYS = landed_days(31, "tiny", 10)
LEARNT, BROKEN, AFTER, TOMORROW = sorted(DAYS)[6:]


def write(lake: Lake, day: date, table: pa.Table) -> None:
    folder = lake.landing_day("events", day)
    folder.mkdir()
    pq.write_table(table, folder / "part-0.parquet")


def night(lake: Lake, day: date) -> StageContext:
    config = Configuration.from_run(NightConfig().model_dump(mode="json"))
    return StageContext(lake.root, f"nightly-{day}", "nightly", day, 17, 0, config)


def checked(context: StageContext) -> Checked:
    output = run_stage(NAME, run, context).output
    assert isinstance(output, Checked)
    return output


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    """Eight good days and one with its labels shuffled; the champion has learnt those before it."""
    lake = Lake(tmp_path / "lake")
    write_json(lake.landing_meta_path, {"clock": "real", "id_type": "string", "source": "test", "timezone": "UTC"})
    for day, table in list(DAYS.items())[:-1]:
        write(lake, day, labels_shuffled(table, np.random.default_rng(1)) if day == BROKEN else table)
    ref_of("models/a", "full-a", 1, LEARNT.isoformat()).save(lake.champion_path)
    return lake


def test_a_broken_day_is_held_and_later_nights_go_without_it(lake: Lake) -> None:
    with pytest.raises(DayHeld, match=f"{BROKEN} is held back: of .*have another event of the user on the same item"):
        checked(night(lake, BROKEN))
    error = read_json(lake.run_dir(f"nightly-{BROKEN}") / "stages" / "check_day.error.json")
    assert (error["exit_code"], error["code"]) == (7, "held") and f"--accept {BROKEN}" in error["remedy"]
    before = hold_path(lake, BROKEN).read_bytes()
    later = checked(night(lake, AFTER)).guards
    assert [(day.date, day.verdict) for day in later.days] == [(str(BROKEN), "held"), (str(AFTER), "passed")]
    assert later.without == (str(BROKEN),) and hold_path(lake, BROKEN).read_bytes() == before.replace(
        f"nightly-{BROKEN}".encode(), f"nightly-{AFTER}".encode()
    )
    assert landing_days(night(lake, AFTER), "events") == [AFTER]
    assert lake.landing_day("events", BROKEN).glob("*.parquet"), "what landed stays"
    full = replace(night(lake, AFTER), kind="full")
    assert BROKEN not in landing_days(full, "events") and len(landing_days(full, "events")) == 8


def test_an_accepted_day_is_folded_into_the_next_night(lake: Lake) -> None:
    assert checked(night(lake, AFTER)).guards.without == (str(BROKEN),)
    ref_of("models/b", f"nightly-{AFTER}", 2, AFTER.isoformat()).save(lake.champion_path)
    write(lake, TOMORROW, DAYS[TOMORROW])
    assert landing_days(night(lake, TOMORROW), "events") == [TOMORROW] and not folded_days(night(lake, TOMORROW))
    accepted = accept(lake, BROKEN)
    assert accept(lake, BROKEN) == accepted and held_days(lake) == frozenset()
    assert landing_days(night(lake, TOMORROW), "events") == [BROKEN, TOMORROW]
    found = checked(night(lake, TOMORROW)).guards
    assert (found.folded, found.without) == ((str(BROKEN),), ())
    ref_of("models/c", f"nightly-{TOMORROW}", 3, TOMORROW.isoformat()).save(lake.champion_path)
    assert not folded_days(night(lake, date.fromordinal(TOMORROW.toordinal() + 1))), "its champion has learnt the day"


def test_corrected_files_are_judged_again(lake: Lake) -> None:
    with pytest.raises(DayHeld):
        checked(night(lake, BROKEN))
    write(lake, BROKEN, DAYS[BROKEN])
    assert checked(night(lake, BROKEN)).guards.days[0].verdict == "passed" and hold_of(lake, BROKEN) is None


def test_an_accepted_day_is_not_held_again(lake: Lake) -> None:
    with pytest.raises(DayHeld):
        checked(night(lake, BROKEN))
    accept(lake, BROKEN)
    assert checked(night(lake, BROKEN)).guards.days[0].verdict == "accepted"
    with pytest.raises(UsageError, match=f"{AFTER} is not held"):
        accept(lake, AFTER)


def test_a_run_that_is_opened_accepts_its_own_date_and_leaves_an_older_one_to_the_next_night(lake: Lake) -> None:
    request = RunRequest(lake.root, "nightly", BROKEN, night(lake, BROKEN).config)
    with pytest.raises(UsageError, match=f"{BROKEN} is not held"):
        accept_date_of(request)
    with pytest.raises(DayHeld):
        checked(night(lake, BROKEN))
    accept_date_of(request)
    assert checked(night(lake, BROKEN)).guards.days[0].verdict == "accepted"
    ref_of("models/b", "night-b", 2, AFTER.isoformat()).save(lake.champion_path)
    with pytest.raises(NothingToDo, match=f"{BROKEN} is accepted") as nothing:
        accept_date_of(request)
    assert f"newer date is current ({AFTER})" in nothing.value.remedy
    write_json(lake.run_dir(f"nightly-{BROKEN}") / "result.json", {"status": "done"})
    accept_date_of(request)


def test_a_market_without_a_clock_and_a_full_run_judge_nothing(lake: Lake) -> None:
    assert checked(replace(night(lake, BROKEN), kind="full")).guards.days == ()
    write_json(lake.landing_meta_path, {**lake.landing_meta(), "clock": "position"})
    assert checked(night(lake, BROKEN)).guards.days == ()
