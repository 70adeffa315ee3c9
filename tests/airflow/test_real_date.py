"""A tiny market through the DAG with every engine real: a full run; a night by the scheduler, `train` beside the baselines;
a night by SparkSubmitOperator on a standalone cluster, and again.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nightrank.pipeline.stages import STAGES
from tests.airflow.conftest import MAIN_PYTHON, ROOT, Airflow, main
from tests.airflow.services import Services

pytestmark = pytest.mark.timeout(1750)
TINY = {"config": ["tiny"]}
CLUSTER = """
from nightrank.pipeline.dag.nights import OnCluster
cluster = OnCluster(conf={{
    'spark.driver.memory': '1g',
    'spark.jars.packages': 'io.delta:delta-spark_2.13:4.0.1',
    'spark.eventLog.enabled': 'true',
    'spark.eventLog.compress': 'false',
    'spark.eventLog.dir': '{events}',
}})
"""
OFF = {stage.name for stage in STAGES if stage.switch}
"""Switched off in a run without impressions and experiments."""


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Airflow:
    """An Airflow whose variables name a simulated market and the main environment."""
    made = Airflow(tmp_path_factory.mktemp("real") / "airflow")
    made.write_dag()
    (made.folder / "airflow.db").write_bytes(migrated.read_bytes())
    root = made.folder.parent / "lake"
    made.variables |= {
        "AIRFLOW_VAR_NIGHTRANK_ROOT": str(root),
        "AIRFLOW_VAR_NIGHTRANK_PYTHON": str(MAIN_PYTHON),
        "OMP_NUM_THREADS": "1",
    }
    words = ("simulate", "--preset", "tiny", "--root", str(root), "--json")
    done = subprocess.run(
        [str(MAIN_PYTHON), "-P", "-m", "nightrank.pipeline.cli", *words],
        env=made.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return made


@pytest.fixture(scope="module")
def lake(airflow: Airflow) -> Path:
    return Path(airflow.variables["AIRFLOW_VAR_NIGHTRANK_ROOT"])


@pytest.fixture(scope="module")
def days(lake: Path) -> list[str]:
    """Of the full run, and of the two nights after it."""
    found: list[str] = main(
        f"from nightrank.feature_store.contracts.lake import Lake\n"
        f"print(json.dumps([str(day) for day in Lake(Path({str(lake)!r})).landing_days('events')]))"
    )
    return found[-4:-1]


@pytest.fixture(scope="module")
def full(airflow: Airflow, days: list[str]) -> dict[str, Any]:
    return airflow.test_run(days[0], full=True, **TINY)


def test_a_full_run_by_commands_leaves_model_lists_and_verdict(full: dict[str, Any], days: list[str]) -> None:
    assert full["state"] == "success", full["log"][-9000:]
    assert {name for name, state in full["tasks"].items() if state == "skipped"} == OFF
    lists = full["assets"]["nightrank.lists"]
    assert lists["date"] == days[0] and lists["users"] > 0 and lists["model"]["version"] == 1 and lists["gate"] == "first"
    assert full["assets"]["nightrank.table.recommendations"]["delta_version"] == lists["recommendations_version"]
    assert full["assets"]["nightrank.model"]["manifest_sha256"]
    assert full["xcom"]["verdict.verdict"]["report"].endswith("report.html")


def test_a_night_by_the_scheduler_trains_beside_the_baselines(
    airflow: Airflow, full: dict[str, Any], lake: Path, days: list[str]
) -> None:
    services = Services(airflow)
    try:
        services.start()
        services.until(lambda: services.rows("SELECT 1 FROM dag WHERE dag_id = 'nightrank'"), "the DAG to be parsed")
        airflow.command("dags", "unpause", "nightrank")
        airflow.command("dags", "trigger", "nightrank", "--conf", json.dumps({"date": days[1], **TINY}))
        ended = "SELECT state FROM dag_run WHERE run_type = 'manual' AND state IN ('success', 'failed') AND conf LIKE ?"
        services.until(lambda: services.rows(ended, f"%{days[1]}%"), "the end of the night")
        times = {
            task: (began, end)
            for task, began, end in services.rows(
                "SELECT t.task_id, t.start_date, t.end_date FROM task_instance t JOIN dag_run r ON r.run_id = t.run_id "
                "WHERE r.conf LIKE ?",
                f"%{days[1]}%",
            )
        }
    finally:
        services.stop()
    check_result(lake, days[1])
    train, baselines = times["train"], times["score_baselines"]
    assert train[0] < baselines[1] and baselines[0] < train[1], (train, baselines)


def test_a_night_on_a_standalone_cluster_by_spark_submit_and_again(
    airflow: Airflow, full: dict[str, Any], lake: Path, days: list[str]
) -> None:
    events = airflow.folder.parent / "events"
    events.mkdir()
    airflow.write_dag("cluster=cluster", before=CLUSTER.format(events=events))
    with standalone(airflow) as master:
        host, _, port = master.rpartition(":")
        airflow.variables["AIRFLOW_CONN_SPARK_DEFAULT"] = json.dumps({"conn_type": "spark", "host": host, "port": int(port)})
        night = airflow.test_run(days[2], **TINY)
        assert not {name for name, state in night["tasks"].items() if "failed" in state} - {"verdict"}, night["log"][-9000:]
        assert night["assets"]["nightrank.lists"]["date"] == days[2] and night["assets"]["nightrank.lists"]["users"] > 0
        check_result(lake, days[2])
        before = {path: path.stat().st_mtime_ns for path in (lake / "tables").rglob("_delta_log/*.json")}
        again = airflow.test_run(days[2], **TINY)
    assert again["state"] == "success" and again["xcom"]["open.return_value"]["status"] == "already_done"
    assert {path: path.stat().st_mtime_ns for path in (lake / "tables").rglob("_delta_log/*.json")} == before
    hosts = main(
        f"from tests.cluster.commands import applications\n"
        f"print(json.dumps({{name: sorted(found) for name, found in applications(Path({str(events)!r})).items()}}))"
    )
    assert len(hosts) == 4 and {host for found in hosts.values() for host in found} == {"127.0.0.2", "127.0.0.3"}, hosts


def check_result(lake: Path, day: str) -> None:
    """The night ended by itself, and every stage of it did."""
    result = json.loads((lake / "runs" / f"nightly-{day}" / "result.json").read_text())
    stages = {stage["name"]: stage["status"] for stage in result["stages"] if stage["name"] != "verdict"}
    assert result["status"] in ("done", "gate_rejected") and set(stages.values()) == {"done"}, (result["error"], stages)


@contextmanager
def standalone(airflow: Airflow) -> Iterator[str]:
    """The master of a cluster of two workers."""
    words = [str(MAIN_PYTHON), "-m", "tests.airflow.programs.cluster", str(airflow.folder.parent / "cluster")]
    process = subprocess.Popen(
        words, cwd=ROOT, env=airflow.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(60)
