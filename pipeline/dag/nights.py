"""The DAG: wait for the day, open the run, its stages, close it."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, CronDataIntervalTimetable, DeadlineAlert, TriggerRule

from nightrank.pipeline.dag.assets import HELD_BY_CLOSE, outlets_of
from nightrank.pipeline.dag.landed import DayLanded
from nightrank.pipeline.dag.operators import CLOSE, OPEN, PYTHON, ROOT, CloseRun, OpenRun, RunStages
from nightrank.pipeline.dag.tasks import TaskPlan, task_plans
from nightrank.pipeline.dag.texts import DOC, STAGES, params
from nightrank.pipeline.stages import STAGES as LISTED
from nightrank.pipeline.stages import Stage

RETRIES: Final = {
    "retries": 4,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=15),
}
WAIT_FOR_LAKE: Final = 40
"""Attempts to open a run, at most 15 minutes apart: some nine hours, longer than a full run takes."""

LONG_AGO: Final = date(2000, 1, 1)
"""Airflow asks every DAG for a first day, and takes the DAG's time zone from it."""
COMPLETE: Final = "complete"
"""Id of the task that makes the DAG run fail with any stage of it: Airflow asks the last tasks alone."""


@dataclass(frozen=True)
class OnCluster:
    """Spark stages go to a cluster by spark-submit, each group as one application."""

    conn_id: str = "spark_default"
    """The Airflow connection that names master and deploy mode."""
    conf: dict[str, str] = field(default_factory=dict)
    """Spark's settings: resources, jars, archives. Values may be templates."""


def night_dag(
    dag_id: str = "nightrank",
    *,
    start: date | None = None,
    end: date | None = None,
    schedule: Any = None,
    timezone: tzinfo = UTC,
    cluster: OnCluster | None = None,
    stages: tuple[Stage, ...] = LISTED,
    root: str = ROOT,
    python: str = PYTHON,
    env: dict[str, str] | None = None,
    pool: str = "default_pool",
    owner: str = "nightrank",
    landing_timeout: timedelta = timedelta(hours=6),
    stage_timeout: timedelta = timedelta(hours=8),
    deadline: DeadlineAlert | None = None,
    default_args: dict[str, Any] | None = None,
) -> DAG:
    """A DAG whose run is one date.

    `timezone` is that of the lake's days. With `start` it is due at the end of each day from then on, and each night that came
    due is run, in order, however long another took. Without, it is started by hand, or by `schedule`: any timetable or asset.
    `root`, `python`: other than the variables', for a second lake. `env`: variables for every command.
    """
    nightly = CronDataIntervalTimetable("0 0 * * *", timezone=str(timezone)) if start is not None else None
    with DAG(
        dag_id,
        description="Landing files of a day in, recommendations of every user out",
        doc_md=DOC,
        schedule=schedule or nightly,
        start_date=datetime.combine(start or LONG_AGO, time(), timezone),
        end_date=datetime.combine(end, time(), timezone) if end else None,
        catchup=start is not None,
        max_active_runs=1,
        params=params(),
        tags=["nightrank", "recommendations", "spark"],
        deadline=deadline,
        default_args={"owner": owner, "pool": pool, "execution_timeout": stage_timeout, **RETRIES, **(default_args or {})},
        render_template_as_native_obj=False,
    ) as dag:
        _tasks(task_plans(stages), cluster, landing_timeout, {"root": root, "python": python, "env": env})
    return dag


def _tasks(plans: tuple[TaskPlan, ...], cluster: OnCluster | None, landing_timeout: timedelta, where: dict[str, Any]) -> None:
    """Wait for the day, open, stages, close."""
    landed = DayLanded(task_id="landed", timeout=landing_timeout, poke_interval=60, doc_md=STAGES["landed"], **where)
    # Nights are opened in order: one that could not be opened holds the later ones back, and none is lost.
    opened = OpenRun(task_id=OPEN, depends_on_past=True, retries=WAIT_FOR_LAKE, doc_md=STAGES[OPEN], **where)
    closed = CloseRun(task_id=CLOSE, outlets=[HELD_BY_CLOSE], doc_md=STAGES[CLOSE], **where)
    landed >> opened.as_setup()
    _stages(plans, opened, closed, cluster, where)
    closed.as_teardown(setups=opened)


def _stages(
    plans: tuple[TaskPlan, ...],
    opened: BaseOperator,
    closed: BaseOperator,
    cluster: OnCluster | None,
    where: dict[str, Any],
) -> None:
    """The tasks between open and close, each behind what it stands on."""
    made: dict[str, BaseOperator] = {}
    for plan in plans:
        task = made[plan.task_id] = _task(plan, cluster, where)
        before = [made[name] for name in (*plan.after, *plan.behind)]
        (before or [opened]) >> task
    complete = EmptyOperator(task_id=COMPLETE, trigger_rule=TriggerRule.NONE_FAILED, doc_md=STAGES[COMPLETE])
    [made[plan.task_id] for plan in plans if not any(stage.ends_run for stage in plan.stages)] >> complete
    [*made.values(), complete] >> closed


def _task(plan: TaskPlan, cluster: OnCluster | None, where: dict[str, Any]) -> BaseOperator:
    told = "".join(f"- `{stage.name}` ({stage.engine}): `python -m {stage.module}`\n" for stage in plan.stages)
    shared: dict[str, Any] = {
        "task_id": plan.task_id,
        "stages": plan.names,
        "needs": plan.after if plan.behind else (),
        "trigger_rule": TriggerRule.ALL_DONE if plan.behind else TriggerRule.ALL_SUCCESS,
        "outlets": outlets_of(plan.names),
        **where,
        "doc_md": f"Runs what is not done of:\n\n{told}",
    }
    if cluster is None or not plan.is_spark:
        return RunStages(**shared)
    from nightrank.pipeline.dag.spark_submit import SparkStages

    return SparkStages(
        **shared, conn_id=cluster.conn_id, conf=dict(cluster.conf), name="nightrank {{ task.task_id }} {{ run_id }}"
    )
