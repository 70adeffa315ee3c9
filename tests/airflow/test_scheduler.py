"""Under a real scheduler: nights that come due while another run holds the lake, a back-fill, a driver that outlives its task.

Stages do next to nothing here; everything around them is real.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.airflow.conftest import Shop
from tests.airflow.services import Services

pytestmark = pytest.mark.timeout(1500)
STAGES = ("check_day", "ingest_events", "build_features")
TASK = "ingest_events_to_build_features"
FEW = f"stages=tuple(one for one in STAGES if one.name in {set(STAGES)})"
DAILY = "schedule=CronDataIntervalTimetable('0 0 * * *', timezone='UTC')"


@pytest.fixture
def few(shop: Shop) -> Shop:
    """A shop of three stages, with a finished full run of its first day."""
    shop.only(STAGES)
    shop.nightrank("full", "--as-of", shop.days[0])
    (shop.root / "trace").unlink()
    return shop


@pytest.fixture
def services(few: Shop) -> Iterator[Services]:
    made = Services(few.airflow)
    yield made
    made.stop()


def begin(shop: Shop, services: Services, arguments: str, before: str = "", *more: str) -> None:
    """The DAG is known and not paused, and everything runs."""
    shop.airflow.write_dag(f"{arguments}, {FEW}", before)
    services.start(*more)
    services.until(lambda: services.rows("SELECT 1 FROM dag WHERE dag_id = 'nightrank'"), "the DAG to be parsed")
    shop.airflow.command("dags", "unpause", "nightrank")


def night(day: str) -> list[str]:
    return [f"{stage} nightly-{day}" for stage in STAGES]


def test_no_night_is_lost_while_another_run_holds_the_lake_and_each_runs_in_order(few: Shop, services: Services) -> None:
    few.nightrank("run", "open", "--date", few.days[0], "--kind", "full", "--redo")
    begin(few, services, "start=date(2024, 1, 2), end=date(2024, 1, 4)")
    services.until(
        lambda: services.states().get((few.days[1], "open")) == "up_for_retry", "the first night waiting for the lake"
    )
    assert few.trace() == []
    few.nightrank("run", "close", "--date", few.days[0], "--kind", "full")
    services.until(lambda: [run[2] for run in services.runs()] == ["success"] * 3, "three nights")
    assert [run[0] for run in services.runs()] == few.days[1:4]
    assert few.trace() == night(few.days[1]) + night(few.days[2]) + night(few.days[3])
    assert services.tries(few.days[1], "open") > 1


def test_a_back_fill_of_three_dates_runs_in_order_and_again_as_already_done(few: Shop, services: Services) -> None:
    begin(few, services, DAILY)
    words = ("--from-date", few.days[1], "--to-date", few.days[3], "--max-active-runs", "1")
    few.airflow.command("backfill", "create", "--dag-id", "nightrank", *words, "--reprocess-behavior", "failed")

    def done() -> bool:
        runs = [run for run in services.runs() if run[1] == "backfill"]
        return [run[0] for run in runs] == few.days[1:4] and {run[2] for run in runs} == {"success"}

    services.until(done, "three dates")
    ended = "SELECT count(*) FROM backfill WHERE completed_at IS NOT NULL"
    services.until(lambda: services.rows(ended)[0][0] == 1, "the end of the back-fill")
    expected = night(few.days[1]) + night(few.days[2]) + night(few.days[3])
    assert few.trace() == expected
    few.airflow.command("backfill", "create", "--dag-id", "nightrank", *words, "--reprocess-behavior", "completed")
    query = "SELECT count(*) FROM dag_run WHERE run_type = 'backfill' AND clear_number > 0 AND state = 'success'"
    services.until(lambda: services.rows(query)[0][0] == 3, "the same dates again")
    assert few.trace() == expected, "nothing was done twice"


def test_a_task_whose_worker_died_is_retried_and_its_old_driver_commits_nothing(few: Shop, services: Services) -> None:
    wait = "(context.root / f'in-{context.fence}').path.touch()\n    while not (context.root / 'go').exists(): time.sleep(0.05)"
    few.stage("build_features", wait)
    begin(few, services, DAILY)
    words = ("--from-date", few.days[1], "--to-date", few.days[1], "--reprocess-behavior", "failed")
    few.airflow.command("backfill", "create", "--dag-id", "nightrank", *words)
    services.until(lambda: list(few.root.glob("in-*")), "the stage at work")
    old = driver(few)
    task = psutil.Process(old).parent()
    assert task is not None
    stage = psutil.Process(old).children()[0].pid
    for pid in (old, stage):
        os.kill(pid, signal.SIGSTOP)  # a host that hangs: it comes back later
    task.kill()
    (few.root / "go").touch()
    services.until(lambda: services.states().get((few.days[1], TASK)) == "success", "the retry")
    left = Path(few.root / "runs" / f"nightly-{few.days[1]}" / "stages" / "build_features.json")
    before = left.read_bytes()
    assert services.tries(few.days[1], TASK) == 2
    for pid in (old, stage):
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)
    services.until(lambda: not psutil.pid_exists(old) or psutil.Process(old).status() == "zombie", "the old driver's end")
    services.until(lambda: [run[2] for run in services.runs() if run[1] == "backfill"] == ["success"], "the night")
    assert few.trace().count(f"build_features nightly-{few.days[1]}") == 2 and left.read_bytes() == before
    assert few.result(f"nightly-{few.days[1]}")["status"] == "done"


def test_a_night_that_is_late_says_which_task_holds_it_up(few: Shop, services: Services) -> None:
    few.stage("build_features", "while not (context.root / 'go').exists(): time.sleep(0.05)")
    due = "from nightrank.pipeline.dag.deadline import lists_by\nDUE = lists_by(timedelta(seconds=60))"
    begin(few, services, "start=date(2024, 1, 2), end=date(2024, 1, 2), deadline=DUE", due, "triggerer")
    services.until(lambda: services.states().get((few.days[1], TASK)) == "running", "the stage at work")
    found = services.until(lambda: services.rows("SELECT output FROM callback WHERE state = 'success'"), "the deadline's word")
    assert f"({few.days[1]}) are late, they were due at" in found[0][0] and f"; at work: {TASK}; " in found[0][0]
    (few.root / "go").touch()
    services.until(lambda: [run[2] for run in services.runs()] == ["success"], "the night, late as it is")


def driver(shop: Shop) -> int:
    """The process of `nightrank run stage`."""
    listed = subprocess.run(
        ["pgrep", "-f", f"run stage ingest_events build_features .*{shop.root}"], capture_output=True, text=True
    )
    return int(listed.stdout.split()[0])
