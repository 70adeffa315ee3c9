"""What the DAG processor sees: the DAG parses without any package of nightrank, soon, and the same each time."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.airflow.conftest import Airflow

PARSE = """
import json, sys, time

class Blocker:
    BLOCKED = {"pyspark", "delta", "torch", "horovod", "petastorm", "mlflow", "pandas", "pyarrow", "psutil", "yaml"}
    ALLOWED = set()
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.BLOCKED - self.ALLOWED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

import airflow.sdk  # what every DAG pays
from airflow.serialization.serialized_objects import DagSerialization
before = set(sys.modules)
Blocker.ALLOWED = {name.split(".")[0] for name in before}
sys.meta_path.insert(0, Blocker())
began = time.perf_counter()
from nightrank.pipeline.airflow_dag import dag
seconds = time.perf_counter() - began
ours = sorted(name for name in sys.modules if name.startswith("nightrank"))
heavy = sorted(name for name in set(sys.modules) - before if name.split(".")[0] in Blocker.BLOCKED)
schemas = {name: dag.params.get_param(name).schema for name in dag.params}
answer = {"seconds": seconds, "ours": ours, "heavy": heavy, "params": schemas, "dag": DagSerialization.to_dict(dag)}
print(json.dumps(answer, sort_keys=True))
"""
CODES = {
    "nightrank", "nightrank.pipeline", "nightrank.pipeline.airflow_dag", "nightrank.pipeline.stages", "nightrank.pipeline.dag",
}  # fmt: skip
GENEROUS_SECONDS = 30.0
"""The time itself is printed. On an idle machine it is a fraction of a second."""


def parsed(airflow: Airflow, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", PARSE], env={**airflow.environment, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    body: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return body


@pytest.mark.parametrize("way", ["command", "submit"])
def test_it_parses_soon_with_no_package_of_ours_and_no_pyspark(airflow: Airflow, way: str) -> None:
    found = parsed(airflow, NIGHTRANK_DAG_SPARK=way, NIGHTRANK_DAG_START="2024-01-01")
    print(f"parsed ({way}) in {found['seconds']:.3f} s")
    assert found["heavy"] == [] and found["seconds"] < GENEROUS_SECONDS
    assert {name for name in found["ours"] if not name.startswith("nightrank.pipeline.dag.")} == CODES


def test_two_processes_serialise_it_the_same(airflow: Airflow) -> None:
    one, two = (parsed(airflow, NIGHTRANK_DAG_START="2024-01-01", PYTHONHASHSEED=seed)["dag"] for seed in ("1", "2"))
    assert one == two


def test_what_the_dag_processor_stores_has_documentation_parameters_tags_and_owner(airflow: Airflow) -> None:
    found = parsed(airflow, NIGHTRANK_DAG_START="2024-01-01")
    dag, schemas = found["dag"]["dag"], found["params"]
    assert dag["tags"] == ["nightrank", "recommendations", "spark"] and "nightrank.lists" in dag["doc_md"]
    assert (dag["max_active_runs"], dag["catchup"]) == (1, True)
    assert dag["deadline"], "lists by 06:00"
    assert schemas["date"]["format"] == "date" and schemas["config"]["type"] == "array"
    assert set(schemas) == {"date", "full", "dry_run", "accept", "redo", "config", "set"}
    tasks = {task["__var"]["task_id"]: task["__var"] for task in dag["tasks"]}
    assert all("doc_md" in task for task in tasks.values())
    assert tasks["open"]["depends_on_past"] is True and tasks["close"]["is_teardown"] and tasks["open"]["is_setup"]


def test_without_a_first_night_it_is_started_by_hand(airflow: Airflow) -> None:
    dag = parsed(airflow)["dag"]["dag"]
    assert "NullTimetable" in json.dumps(dag["timetable"]) and not dag.get("catchup")


def test_a_wrong_setting_is_an_error_of_the_dag_file(airflow: Airflow) -> None:
    with pytest.raises(AssertionError, match="write command or submit"):
        parsed(airflow, NIGHTRANK_DAG_SPARK="yarn")


def test_the_file_for_the_dags_folder_is_one_line(airflow: Airflow) -> None:
    (airflow.folder / "dags" / "nights.py").write_text("from nightrank.pipeline.airflow_dag import dag\n")
    listed = json.loads(airflow.command("dags", "list", "--local", "--output", "json").splitlines()[-1])
    assert [dag["dag_id"] for dag in listed] == ["nightrank"] and listed[0]["owners"] == "nightrank"
