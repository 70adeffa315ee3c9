"""A tiny market through the DAG with every engine real: a full run by commands, a night by SparkSubmitOperator, and again."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.conftest import MAIN_PYTHON, Airflow, main

pytestmark = pytest.mark.timeout(1750)
CLUSTER = (
    "from nightrank.pipeline.dag.nights import OnCluster\n"
    "cluster = OnCluster(conf={'spark.driver.memory': '1g', 'spark.jars.packages': 'io.delta:delta-spark_2.13:4.0.1'})\n"
)


@pytest.fixture
def lake(airflow: Airflow, tmp_path: Path) -> Path:
    """A simulated market, and an Airflow whose variables name it and the main environment."""
    root = tmp_path / "lake"
    words = ("simulate", "--preset", "tiny", "--root", str(root), "--json")
    done = subprocess.run(
        [str(MAIN_PYTHON), "-P", "-m", "nightrank.pipeline.cli", *words],
        env=airflow.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    airflow.variables |= {
        "AIRFLOW_VAR_NIGHTRANK_ROOT": str(root),
        "AIRFLOW_VAR_NIGHTRANK_PYTHON": str(MAIN_PYTHON),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[2]"}),
        "OMP_NUM_THREADS": "1",
    }
    return root


def states(run: dict[str, Any], *states: str) -> set[str]:
    return {name for name, state in run["tasks"].items() if state in states}


def test_a_full_run_a_night_by_spark_submit_and_the_night_again(airflow: Airflow, lake: Path) -> None:
    days = main(
        f"from nightrank.feature_store.contracts.lake import Lake\n"
        f"print(json.dumps([str(day) for day in Lake(Path({str(lake)!r})).landing_days('events')]))"
    )
    full = airflow.test_run(days[-3], full=True, config=["tiny"])
    assert full["state"] == "success", full["log"][-9000:]
    assert states(full, "skipped") == {"train_ctr", "register_ctr", "score_ctr"}
    lists = full["assets"]["nightrank.lists"]
    assert lists["date"] == days[-3] and lists["users"] > 0 and lists["model"]["version"] == 1 and lists["gate"] == "first"
    assert full["assets"]["nightrank.table.recommendations"]["delta_version"] == lists["recommendations_version"]
    assert full["assets"]["nightrank.model"]["manifest_sha256"]
    assert full["xcom"]["verdict.verdict"]["report"].endswith("report.html")

    airflow.write_dag("cluster=cluster", before=CLUSTER)
    night = airflow.test_run(days[-2], config=["tiny"])
    assert not states(night, "failed", "upstream_failed") - {"verdict"}, night["log"][-9000:]
    assert (
        "spark-submit" in night["log"]
        and "--stages ingest_events,build_features,embed_items,build_training_set" in night["log"]
    )
    assert night["assets"]["nightrank.lists"]["date"] == days[-2] and night["assets"]["nightrank.lists"]["users"] > 0
    result = json.loads((lake / "runs" / f"nightly-{days[-2]}" / "result.json").read_text())
    assert result["status"] in ("done", "gate_rejected") and all(
        stage["status"] == "done" for stage in result["stages"] if stage["name"] != "verdict"
    )

    before = {path: path.stat().st_mtime_ns for path in (lake / "tables").rglob("_delta_log/*.json")}
    again = airflow.test_run(days[-2], config=["tiny"])
    assert again["state"] == "success" and again["xcom"]["open.return_value"]["status"] == "already_done"
    assert {path: path.stat().st_mtime_ns for path in (lake / "tables").rglob("_delta_log/*.json")} == before
