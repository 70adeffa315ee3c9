"""One DAG run by `dag.test()`; the last line of its output is what became of it, as JSON."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select


def main(day: str | None, params: dict[str, Any]) -> dict[str, Any]:
    bag = DagBag(Path(conf.get("core", "dags_folder")))
    assert bag.import_errors == {}, bag.import_errors
    dag = next(iter(bag.dags.values()))
    logical = datetime.fromisoformat(day).replace(tzinfo=UTC) if day else None
    run = dag.test(logical_date=logical, run_conf=params)
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.id == run.id)).one()
        tasks = session.scalars(select(TaskInstance).where(TaskInstance.run_id == run.run_id)).all()
        handed = session.scalars(select(XComModel).where(XComModel.run_id == run.run_id)).all()
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)).all()
        return {
            "state": str(run.state.value if hasattr(run.state, "value") else run.state),
            "tasks": {task.task_id: str(task.state.value if hasattr(task.state, "value") else task.state) for task in tasks},
            "tries": {task.task_id: task.try_number for task in tasks},
            "xcom": {f"{one.task_id}.{one.key}": XComModel.deserialize_value(one) for one in handed},
            "assets": {event.asset.name: event.extra for event in events},
        }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    answer = main(given["day"], given["params"])
    sys.stdout.write("\n" + json.dumps(answer, default=str) + "\n")
