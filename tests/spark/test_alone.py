"""Jobs that are started alone: what they need and do not find is named with the stage that makes it."""

from pathlib import Path

import pytest

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import CATALOGUE, MADE_BY
from nightrank.pipeline.stages import STAGES
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.driver.host import function_of
from tests.spark.conftest import DAY, at, land

pytestmark = pytest.mark.spark
FIRST = {"ingest_events", "maintain_tables"}
"""They need no stage before them."""
MISSING = {
    ("build_features", "nightly"): "run stage ingest_events",
    ("embed_items", "nightly"): "run stage ingest_events",
    ("build_training_set", "full"): "run stage build_features",
    ("build_training_set", "nightly"): "run `nightrank full` first",
    ("score_baselines", "nightly"): "run stage build_training_set first",
    ("score_users", "nightly"): "run `nightrank full` first",
    ("release", "nightly"): "run stage score_users in this run",
    ("read_feedback", "nightly"): "run stage ingest_events",
    ("score_ctr", "nightly"): "run stages train_ctr and register_ctr first",
}


def alone(lake: Lake, name: str, kind: str) -> int:
    options = ["--root", str(lake.root), "--date", str(DAY), "--kind", kind]
    return submit.main(name, function_of(name), options)


def test_every_spark_job_is_among_them():
    assert {name for name, _ in MISSING} | FIRST == {stage.name for stage in STAGES if stage.engine == "spark"}


@pytest.mark.parametrize(("name", "kind"), MISSING)
@pytest.mark.parametrize("landed", [False, True], ids=["an empty lake", "a lake with landing files"])
def test_a_job_without_what_comes_before_it_says_what_to_run(spark, lake, capsys, name, kind, landed):
    if landed:
        land(lake, "events", DAY, [{"user_id": "u1", "item_id": "a", "action": "view", "event_time": at(f"{DAY} 10:00")}])
    assert alone(lake, name, kind) in (2, 4)
    assert MISSING[name, kind] in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, capsys):
    assert submit.main("ingest_events", function_of("ingest_events"), ["--run-dir", str(tmp_path)]) == 2
    assert f"{tmp_path} is no run: it holds no run.json" in capsys.readouterr().err


def test_every_table_names_a_stage_that_makes_it():
    assert MADE_BY.keys() == CATALOGUE.keys()
    assert {*MADE_BY.values()} <= {stage.name for stage in STAGES}
