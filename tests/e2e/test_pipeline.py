"""The tiny market through the real pipeline, as a user calls it: full, a night, the same again, an empty day, a look."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import CATALOGUE
from nightrank.trainer.tracking.runs import WITHOUT_RUN
from tests.commands import nightrank
from tests.e2e.conftest import CONFIG, ReadyLake

# A suite of its own (`make test-night`): with it `make test` would take more than its 12 minutes.
pytestmark = [pytest.mark.e2e, pytest.mark.night, pytest.mark.timeout(900)]
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json").read_text())


def versions(lake: Lake) -> dict[str, int | None]:
    return {name: delta_read.table_version(lake, name) for name in CATALOGUE}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, after_night: ReadyLake) -> Lake:
    return after_night.copy(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture(scope="module")
def days(after_night: ReadyLake) -> list[date]:
    return after_night.days


@pytest.fixture(scope="module")
def full(after_night: ReadyLake) -> dict[str, Any]:
    return after_night.results[0]


@pytest.fixture(scope="module")
def night(after_night: ReadyLake) -> dict[str, Any]:
    return after_night.results[1]


def test_a_full_run_fills_every_section_of_its_result(lake: Lake, full: dict[str, Any]) -> None:
    jsonschema.validate(full, SCHEMA)
    assert full["status"] == "done" and full["gate"]["decision"] == "first"
    assert all(stage["status"] == "done" for stage in full["stages"])
    reading = {stage["name"] for stage in full["stages"] if stage["bytes_read"] > 0}
    data = {"ingest_events", "build_features", "embed_items", "build_training_set", "score_baselines", "score_users"}
    assert reading >= data | {"train", "register", "evaluate"}
    for section in ("snapshot", "training", "model", "metrics", "release", "report"):
        assert full[section], section
    assert full["ctr"]["model"] == "mmoe" and full["ctr"]["test"]["n"] > 0
    assert full["training"]["world_size"] == 2 and len(set(full["training"]["steps"])) == 1
    assert full["counts"]["events"] > 0
    assert (lake.root / full["report"]).size > 10_000
    recommender = {metric["recommender"] for metric in full["metrics"]}
    assert {"challenger", "popular_7d", "als", "item_cooccurrence", "truth"} <= recommender


def test_every_hand_off_of_the_full_run_holds(lake: Lake, full: dict[str, Any]) -> None:
    outcome = nightrank(lake, "verify", "--run", full["run_id"])
    assert outcome["failed"] == []
    assert [check["name"] for check in outcome["checks"] if check["status"] != "ok"] == []


def test_the_tracker_has_a_run_of_every_stage_that_worked_with_what_it_took(lake: Lake, full: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{lake.root / 'mlflow' / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`nightrank.run_id` = '{full['run_id']}'")
    by_stage = {run.data.tags["nightrank.stage"]: run for run in runs}
    worked = [stage for stage in full["stages"] if stage["name"] not in WITHOUT_RUN]
    assert len(worked) == len(full["stages"]) - 3 and set(by_stage) == {"night", *(stage["name"] for stage in worked)}
    parent = by_stage.pop("night").info.run_id
    for stage in worked:
        run = by_stage[stage["name"]]
        assert run.data.tags["mlflow.parentRunId"] == parent
        assert run.info.status == "FINISHED"
        assert run.data.metrics["seconds"] == stage["seconds"]
    version = client.get_model_version("nightrank", str(full["model"]["version"]))
    assert version.tags["nightrank.gate"] == "first" and version.tags["nightrank.ranker"] == full["model"]["ranker"]
    assert "Gate: **first**" in version.description and "| test | ndcg@10 |" in version.description
    memory = client.get_metric_history(by_stage["train"].info.run_id, "system/stage_memory_mebibytes")
    assert max(point.value for point in memory) > 200


def test_a_night_grows_from_the_full_run_and_releases_its_own_lists(
    lake: Lake, full: dict[str, Any], night: dict[str, Any], days: list[date]
) -> None:
    jsonschema.validate(night, SCHEMA)
    assert night["snapshot"]["kind"] == "nightly" and night["training"]["parent_model"]
    assert night["release"]["recommendations_version"] > full["release"]["recommendations_version"]
    assert night["release"]["users"] == full["release"]["users"] + night["counts"]["new_users"]
    assert delta_read.latest_release(lake).date == str(days[-3])
    assert nightrank(lake, "verify")["failed"] == []
    assert night["ctr"]["version"] == full["ctr"]["version"] + 1
    scored = delta_read.rows_of(lake, "ctr_scores", delta_read.table_version(lake, "ctr_scores"))
    assert scored == night["release"]["rows"]


def test_the_same_date_again_is_already_done_and_commits_nothing(lake: Lake, night: dict[str, Any], days: list[date]) -> None:
    before = versions(lake)
    again = nightrank(lake, "nightly", "--date", str(days[-3]), *CONFIG)
    assert again["status"] == "already_done"
    assert versions(lake) == before


def test_an_empty_day_ends_with_3_leaves_the_lists_and_the_next_day_is_normal(
    lake: Lake, night: dict[str, Any], days: list[date]
) -> None:
    before = versions(lake)
    empty = nightrank(lake, "nightly", "--date", str(days[-1] + timedelta(days=30)), *CONFIG, expect=3)
    assert empty["status"] == "nothing" and versions(lake) == before
    plan = nightrank(lake, "nightly", "--date", str(days[-2]), *CONFIG, "--dry-run")
    assert plan["status"] == "planned" and versions(lake) == before


def test_a_user_sees_a_list_with_titles_and_no_seen_item(lake: Lake, night: dict[str, Any]) -> None:
    import pyarrow.dataset as ds

    events = ds.dataset(str(lake.landing("events")), format="parquet", partitioning="hive").to_table().to_pylist()
    last = [row for row in events if str(row["day"]) == night["date"] and row["user_id"]]
    user = str(last[0]["user_id"])
    answer = nightrank(lake, "recommend", "--user", user)
    assert [row["rank"] for row in answer["items"]] == list(range(1, 11))
    assert all(row["title"] for row in answer["items"])
    seen = {
        row["item_id"]
        for row in events
        if row["user_id"] == user and str(row["day"]) <= night["date"] and row["action"] != "impression"
    }
    assert not seen & {row["item_id"] for row in answer["items"]}
    nobody = nightrank(lake, "recommend", "--user", "nobody at all")
    assert not nobody["known"] and {row["fallback"] for row in nobody["items"]} == {"popular"}


def test_a_stage_without_a_configuration_takes_the_runs_own_and_leaves_the_finished_run_whole(
    lake: Lake, full: dict[str, Any], night: dict[str, Any], days: list[date]
) -> None:
    """The example of `nightrank stage --help`, on a run of another configuration that a later one has followed."""
    before = versions(lake)
    stages = sorted(path.name for path in (lake.run_dir(full["run_id"]) / "stages").children())
    report = nightrank(lake, "stage", "report", "--date", str(days[-4]))
    assert (report["status"], report["exit_code"]) == ("done", 0)
    refused = nightrank(lake, "stage", "report", "--date", str(days[-4]), "--set", "trainer.model.width=12", expect=2)
    assert "not done with this configuration" in refused["error"]["message"]
    assert sorted(path.name for path in (lake.run_dir(full["run_id"]) / "stages").children()) == stages
    assert versions(lake) == before
    assert nightrank(lake, "verify", "--run", full["run_id"])["failed"] == []


def test_a_back_fill_takes_its_data_in_and_changes_nothing_that_is_current(
    lake: Lake, night: dict[str, Any], days: list[date]
) -> None:
    before, champion, release = versions(lake), lake.champion_path.read_bytes(), delta_read.latest_release(lake)
    assert "stay current" in nightrank(lake, "nightly", "--date", str(days[-6]), "--config", "tiny", "--dry-run")["note"]
    late = nightrank(lake, "nightly", "--date", str(days[-6]), "--config", "tiny")
    jsonschema.validate(late, SCHEMA)
    assert (late["status"], late["back_fill_of"]) == ("done", night["date"])
    assert [stage["name"] for stage in late["stages"]] == ["check_day", "ingest_events", "build_features"]
    assert late["counts"]["landed"] > 0
    assert delta_read.latest_release(lake) == release and lake.champion_path.read_bytes() == champion
    taken_in = {"events", "items", "users", "vocabulary", "interactions", "quarantine", "user_days", "item_days"}
    assert {name: at for name, at in versions(lake).items() if name not in taken_in} == {
        name: at for name, at in before.items() if name not in taken_in
    }
    refused = nightrank(lake, "stage", "release", "--date", str(days[-6]), "--config", "tiny", expect=5)
    assert "the current model or lists are newer" in refused["error"]["message"]
    assert nightrank(lake, "verify", "--run", late["run_id"])["failed"] == []
    assert nightrank(lake, "verify")["failed"] == []
