"""What runs late, in words. Stdlib only."""

from collections.abc import Mapping
from typing import Any, Final

AT_WORK: Final = {
    "running": "at work",
    "up_for_reschedule": "waiting for its day",
    "up_for_retry": "to be tried again",
    "restarting": "to be tried again",
    "queued": "waiting for a slot",
    "scheduled": "waiting for a slot",
    "failed": "failed",
}
"""States of tasks that hold a run up, as they are to be read."""
ENDED: Final = ("success", "skipped", "upstream_failed", "removed")


def late(run: Mapping[str, Any], due: str | None, states: Mapping[str, str | None]) -> str:
    """One sentence: which run (as Airflow's API gives it) is late, which tasks hold it up and how, how many have not begun."""
    named = {
        words: sorted(task for task, state in states.items() if AT_WORK.get(state or "") == words) for words in AT_WORK.values()
    }
    parts = [f"{words}: {', '.join(tasks)}" for words, tasks in named.items() if tasks]
    unbegun = sum(state not in AT_WORK and state not in ENDED for state in states.values())
    parts += [f"{unbegun} of {len(states)} tasks have not begun"] if unbegun else []
    day = str(run.get("logical_date") or run.get("run_after") or "")[:10]
    head = f"the lists of DAG run {run.get('dag_run_id')} ({day}) are late" + (f", they were due at {due}" if due else "")
    return "; ".join([head, *(parts or ["no state of its tasks is known"])])
