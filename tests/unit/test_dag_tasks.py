"""From the list of stages to the tasks of a DAG, and which date a DAG run is for. No Airflow is needed."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nightrank.pipeline.dag.dates import date_of
from nightrank.pipeline.dag.lateness import late
from nightrank.pipeline.dag.tasks import task_plans
from nightrank.pipeline.stages import STAGES, Stage

PLANS = {plan.task_id: plan for plan in task_plans()}


def ancestors(task_id: str) -> set[str]:
    before = {*PLANS[task_id].after, *PLANS[task_id].behind}
    return before | {name for one in before for name in ancestors(one)}


def task_of(stage: str) -> str:
    return next(plan.task_id for plan in PLANS.values() if stage in plan.names)


def test_every_stage_is_in_one_task_in_the_lists_order() -> None:
    assert [name for plan in PLANS.values() for name in plan.names] == [stage.name for stage in STAGES]


def test_a_task_is_behind_everything_that_its_stages_need() -> None:
    for stage in STAGES:
        own = task_of(stage.name)
        assert {task_of(need) for need in stage.needs} - {own} <= ancestors(own), stage.name


def test_neighbouring_spark_stages_are_one_application_and_train_starts_beside_score_baselines() -> None:
    together = [plan.names for plan in PLANS.values() if len(plan.names) > 1]
    assert together == [
        ("ingest_events", "build_features", "embed_items", "build_training_set"),
        ("score_users", "release"),
    ]
    assert all(plan.is_spark for plan in PLANS.values() if len(plan.names) > 1)
    assert "score_baselines" not in ancestors("train") and "train" not in ancestors("score_baselines")
    assert PLANS["train"].after == PLANS["score_baselines"].after == ("ingest_events_to_build_training_set",)


def test_what_may_fail_while_the_lists_are_live_comes_after_them_and_so_does_the_verdict() -> None:
    live = task_of("release")
    for stage in STAGES:
        if stage.on_failure == "continue" or stage.ends_run:
            assert live in PLANS[task_of(stage.name)].after, stage.name
        else:
            assert live == task_of(stage.name) or live not in ancestors(task_of(stage.name)), stage.name
    assert "verdict" not in {name for plan in PLANS.values() for name in (*plan.after, *plan.behind)}


def test_the_page_comes_last_but_does_not_stand_on_the_tasks_that_it_shows() -> None:
    assert PLANS["report"].behind == ("maintain_tables",) and PLANS["report"].after == (task_of("release"),)
    assert {"train_ctr", "register_ctr", "score_ctr", "maintain_tables"} <= ancestors("report")


def test_a_list_of_plain_stages_is_a_chain_as_it_says() -> None:
    one, two = Stage("one", "m", "plain"), Stage("two", "m", "plain", ("one",))
    assert [(plan.task_id, plan.after, plan.behind) for plan in task_plans((one, two))] == [
        ("one", (), ()),
        ("two", ("one",), ()),
    ]


@dataclass(frozen=True)
class Event:
    extra: dict[str, Any] = field(default_factory=dict)


def events(*days: str | None) -> dict[str, list[Event]]:
    return {"asset": [Event({"date": day} if day else {}) for day in days]}


NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)


def context(**more: Any) -> dict[str, Any]:
    bare = {"dag": SimpleNamespace(timezone=UTC), "params": {}, "dag_run": SimpleNamespace(run_after=NOON)}
    return {**bare, **more}


@pytest.mark.parametrize(
    ("given", "day", "source"),
    [
        ({}, "2024-03-09", "the day before run_after"),
        ({"logical_date": NOON}, "2024-03-10", "logical date"),
        ({"logical_date": NOON, "triggering_asset_events": events("2024-03-08")}, "2024-03-08", "asset event"),
        ({"triggering_asset_events": events("2024-03-07", "2024-03-08")}, "2024-03-08", "asset event"),
        ({"triggering_asset_events": events(None)}, "2024-03-09", "the day before run_after"),
        ({"partition_key": "2024-03-07", "logical_date": NOON}, "2024-03-07", "partition key"),
        ({"partition_key": "2024-03-07T00:00:00+00:00"}, "2024-03-07", "partition key"),
        ({"params": {"date": "2024-03-01"}, "partition_key": "2024-03-07"}, "2024-03-01", "parameter date"),
    ],
)
def test_the_date_comes_from_outside_and_says_from_where(given: dict[str, Any], day: str, source: str) -> None:
    found = date_of(context(**given))
    assert (found.day, found.source) == (date.fromisoformat(day), source)


def test_days_are_those_of_the_dags_time_zone() -> None:
    tokyo = SimpleNamespace(timezone=ZoneInfo("Asia/Tokyo"))
    midnight = datetime(2024, 3, 10, tzinfo=ZoneInfo("Asia/Tokyo")).astimezone(UTC)
    assert midnight.day == 9
    assert date_of(context(dag=tokyo, logical_date=midnight)).day == date(2024, 3, 10)
    late = SimpleNamespace(run_after=datetime(2024, 3, 10, 16, tzinfo=UTC))
    assert date_of(context(dag=tokyo, dag_run=late)).day == date(2024, 3, 10), "it is the 11th there"


def test_a_date_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="parameter date 'yesterday' does not begin with a date"):
        date_of(context(params={"date": "yesterday"}))


def test_what_runs_late_is_named_with_what_it_waits_for() -> None:
    run = {"dag_run_id": "scheduled__2024-01-02", "logical_date": "2024-01-02T00:00:00Z"}
    states = {"landed": "success", "train": "running", "score_baselines": "running", "gate": None, "report": None}
    assert late(run, "06:00", states) == (
        "the lists of DAG run scheduled__2024-01-02 (2024-01-02) are late, they were due at 06:00; "
        "at work: score_baselines, train; 2 of 5 tasks have not begun"
    )
    assert late(run, None, {"landed": "up_for_reschedule"}).endswith("are late; waiting for its day: landed")
    assert late(run, None, {"open": "up_for_retry", "x": "failed"}).endswith("; to be tried again: open; failed: x")
    assert late(run, None, {}).endswith("are late; no state of its tasks is known")
