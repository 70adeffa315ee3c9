"""The DAG `nightrank` for Airflow 3. In a file of the DAGs folder: `from nightrank.pipeline.airflow_dag import dag`.

Its form is given by the environment of Airflow's DAG processor, and its values by Airflow variables, which are read when a task
runs (docs/how-to/airflow.md):

    NIGHTRANK_DAG_START     first night, YYYY-MM-DD; from there on each day is run. Without it: by hand only
    NIGHTRANK_DAG_TIMEZONE  of the lake's days, default UTC
    NIGHTRANK_DAG_SPARK     `command` (default): the configuration says where Spark runs. `submit`: by SparkSubmitOperator
    NIGHTRANK_DAG_CONN      Airflow connection of the Spark master, default spark_default
    NIGHTRANK_DAG_POOL      pool of the tasks, default default_pool
    NIGHTRANK_DAG_DUE       hours after a run was queued (midnight) by which lists are due, default 6; 0: no deadline.
                            `airflow dags test` of Airflow 3.3.2 breaks on any DAG with a deadline: set it to 0 there
"""

import os
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from airflow.sdk import DeadlineAlert

from nightrank.pipeline.dag.deadline import lists_by
from nightrank.pipeline.dag.nights import OnCluster, night_dag


def _start() -> date | None:
    day = os.environ.get("NIGHTRANK_DAG_START")
    return date.fromisoformat(day) if day else None


def _cluster() -> OnCluster | None:
    way = os.environ.get("NIGHTRANK_DAG_SPARK", "command")
    if way not in ("command", "submit"):
        raise ValueError(f"NIGHTRANK_DAG_SPARK is {way!r}; write command or submit")
    return OnCluster(os.environ.get("NIGHTRANK_DAG_CONN", "spark_default")) if way == "submit" else None


def _deadline() -> DeadlineAlert | None:
    hours = float(os.environ.get("NIGHTRANK_DAG_DUE", "6"))
    return lists_by(timedelta(hours=hours)) if hours else None


dag = night_dag(
    start=_start(),
    timezone=ZoneInfo(os.environ.get("NIGHTRANK_DAG_TIMEZONE", "UTC")),
    cluster=_cluster(),
    deadline=_deadline(),
    pool=os.environ.get("NIGHTRANK_DAG_POOL", "default_pool"),
)
