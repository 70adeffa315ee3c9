"""The whole DAG on stages that do next to nothing: dates, codes, skips, hand-overs, assets."""

from nightrank.pipeline.stages import STAGES
from tests.airflow.conftest import Shop

REJECT = "raise errors.GateRejected('the challenger is worse', 'look at the report')"
DATA = "ingest_events_to_build_training_set"
LISTS = "score_users_to_release"
HOLD = (
    "from nightrank.feature_store.contracts import holds\n"
    "    hold = holds.Hold(date=context.day, status='held', landing='x', reasons=('half of it',), run_id=context.run_id)\n"
    "    found = holds.hold_of(context.lake, context.day)\n"
    "    if found is None or found.status != 'accepted':\n"
    "        with context.commit():\n"
    "            holds.save_hold(context.lake, hold)\n"
    "        raise errors.DayHeld(f'{context.day} is held back: half of it', 'land it again')"
)
OFF = {stage.name for stage in STAGES if stage.switch}
"""Switched off in a run without impressions and experiments."""


def test_a_full_run_a_rejected_night_and_the_same_night_cleared(shop: Shop) -> None:
    full = shop.airflow.test_run(shop.days[0], full=True)
    assert full["state"] == "success", full["log"][-9000:]
    assert {name for name, state in full["tasks"].items() if state == "skipped"} == OFF
    assert {state for name, state in full["tasks"].items() if name not in OFF} == {"success"}
    opened = full["xcom"]["open.return_value"]
    assert (opened["run_id"], opened["kind"], opened["date_from"]) == ("full-2024-01-01", "full", "logical date")
    assert "the date is 2024-01-01, from: logical date" in full["log"]
    assert full["assets"]["nightrank.lists"]["date"] == "2024-01-01" and len(full["assets"]) > 20
    assert shop.result("full-2024-01-01")["status"] == "done"

    shop.stage("verdict", REJECT)
    night = shop.airflow.test_run(None, date=shop.days[1])
    assert night["xcom"]["open.return_value"]["date_from"] == "parameter date"
    assert (night["state"], night["tasks"]["verdict"], night["tries"]["verdict"]) == ("failed", "failed", 1)
    assert {state for name, state in night["tasks"].items() if name not in OFF | {"verdict"}} == {"success"}
    assert "nightrank.lists" in night["assets"], "whoever only needs lists is served"
    assert "the challenger is worse; look at the report" in night["log"]
    assert shop.result("nightly-2024-01-02")["status"] == "gate_rejected"
    assert shop.lease()["released"] is True

    before = shop.trace()
    again = shop.airflow.test_run(None, date=shop.days[1])
    assert again["state"] == "success" and shop.trace() == before
    assert {one["status"] for name, one in again["xcom"].items() if name.endswith("return_value") and one} <= {
        "already_done",
        "gate_rejected",  # what close says of how the night ended
    }


def test_a_failed_stage_fails_the_run_and_closes_it(shop: Shop) -> None:
    """4: no retry. What stands on the stage does not run, and `close` does not hide the failure."""
    shop.stage("embed_items", "raise errors.DataContractError('a broken file', 'fix it')")
    run = shop.airflow.test_run(shop.days[0], full=True)
    assert (run["state"], run["tasks"][DATA], run["tries"][DATA]) == ("failed", "failed", 1)
    assert run["tasks"]["train"] == run["tasks"][LISTS] == run["tasks"]["verdict"] == "upstream_failed"
    assert (run["tasks"]["close"], run["tasks"]["report"]) == ("success", "skipped")
    assert shop.result("full-2024-01-01")["error"]["message"] == "a broken file"
    assert shop.lease()["released"] is True


def test_an_empty_day_and_a_dry_run_are_green_and_change_nothing(shop: Shop) -> None:
    dry = shop.airflow.test_run(shop.days[0], full=True, dry_run=True)
    assert dry["state"] == "success" and dry["tasks"]["open"] == dry["tasks"]["train"] == "skipped"
    assert "ingest_events: would_run" in dry["log"] and not (shop.root / "runs").exists()
    empty = shop.airflow.test_run("2023-12-25", full=True)
    assert empty["state"] == "success" and empty["tasks"]["open"] == empty["tasks"]["close"] == "skipped"
    assert "nothing landed for any day up to 2023-12-25" in empty["log"] and empty["assets"] == {}
    assert shop.trace() == []


def test_a_held_day_fails_its_own_task_tells_who_listens_and_is_taken_in_by_a_run_that_accepts_it(shop: Shop) -> None:
    """Not a rejected challenger: `check_day` fails and `verdict` never runs. The next night is opened all the same."""
    assert shop.airflow.test_run(shop.days[0], full=True)["state"] == "success"
    shop.stage("check_day", HOLD)
    held = shop.airflow.test_run(None, date=shop.days[1])
    assert (held["state"], held["tasks"]["check_day"], held["tries"]["check_day"]) == ("failed", "failed", 1)
    assert held["tasks"][DATA] == held["tasks"]["verdict"] == "upstream_failed" and held["tasks"]["close"] == "success"
    assert held["xcom"]["check_day.held"] == {
        "date": shop.days[1], "message": f"{shop.days[1]} is held back: half of it", "remedy": "land it again"
    }  # fmt: skip
    assert held["xcom"]["close.return_value"]["status"] == shop.result(f"nightly-{shop.days[1]}")["status"] == "held"
    assert set(held["assets"]) == {"nightrank.held"} and held["assets"]["nightrank.held"]["date"] == shop.days[1]
    assert shop.lease()["released"] is True

    taken = shop.airflow.test_run(None, date=shop.days[1], accept=True)
    assert taken["state"] == "success" and taken["tasks"]["check_day"] == "success", taken["log"][-9000:]
    assert "nightrank.held" not in taken["assets"] and taken["assets"]["nightrank.lists"]["date"] == shop.days[1]
    again = shop.airflow.test_run(None, date=shop.days[1], accept=True)
    assert again["state"] == "success" and again["xcom"]["open.return_value"]["status"] == "already_done"


def test_a_day_that_nobody_held_is_not_accepted(shop: Shop) -> None:
    refused = shop.airflow.test_run(shop.days[0], full=True, accept=True)
    assert (refused["state"], refused["tasks"]["open"], refused["tries"]["open"]) == ("failed", "failed", 1)
    assert "exit code 2" in refused["log"] and "is not held on" in refused["log"]
