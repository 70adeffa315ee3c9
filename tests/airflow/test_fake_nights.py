"""The whole DAG on stages that do next to nothing: dates, codes, skips, hand-overs, assets."""

from tests.airflow.conftest import Shop

REJECT = "raise errors.GateRejected('the challenger is worse', 'look at the report')"
DATA = "ingest_events_to_build_training_set"
LISTS = "score_users_to_release"
OFF = {"train_ctr", "register_ctr", "score_ctr"}
"""Switched off in a run without impressions."""


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
