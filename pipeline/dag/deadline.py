"""Says when the lists are late."""

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import AsyncCallback, DeadlineAlert, DeadlineReference


async def lists_are_late(context: dict[str, Any], **_: Any) -> None:
    """An error in the triggerer's log. Give `night_dag` a deadline of your own to page somebody."""
    run = context.get("dag_run") or {}
    run_id = run.get("run_id") if isinstance(run, dict) else getattr(run, "run_id", None)
    logging.getLogger(__name__).error("the lists of DAG run %s are late", run_id)


def lists_by(after_queued: timedelta) -> DeadlineAlert:
    """The DAG run has not succeeded this long after it was queued. A night is queued at midnight: 6 hours mean 06:00."""
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=after_queued,
        callback=AsyncCallback(lists_are_late),
        name="lists are late",
    )
