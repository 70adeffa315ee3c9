"""Says when the lists are late, and which tasks hold them up."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference

from nightrank.pipeline.dag.lateness import late


async def lists_are_late(context: Mapping[str, Any], **_: Any) -> str:
    """An error in the triggerer's log: the run, what is at work, what waits, what failed. Returned too, for a callback of your
    own that pages somebody."""
    run, due = context["dag_run"], (context.get("deadline") or {}).get("deadline_time")
    sentence = late(run, str(due) if due else None, await _states(run["dag_id"], run["dag_run_id"]))
    logging.getLogger(__name__).error("%s", sentence)
    return sentence


async def _states(dag_id: str, run_id: str) -> Mapping[str, str | None]:
    """Of each task of the run, by way of the triggerer."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates

    answer = await task_runner.SUPERVISOR_COMMS.asend(GetTaskStates(dag_id=dag_id, run_ids=[run_id]))
    states: Mapping[str, str | None] = answer.task_states.get(run_id, {})
    return states


def lists_by(after_queued: timedelta) -> DeadlineAlert:
    """The DAG run has not succeeded this long after it was queued. A night is queued at midnight: 6 hours mean 06:00."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=after_queued,
        callback=AsyncCallback(lists_are_late),
        name="lists are late",
    )
