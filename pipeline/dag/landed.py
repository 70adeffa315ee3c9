"""Waits until the day has landed."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from nightrank.pipeline.dag.dates import date_of
from nightrank.pipeline.dag.operators import OPEN, PYTHON, ROOT, NightrankCommand
from nightrank.pipeline.dag.outcomes import SKIPPED, raise_for


class DayLanded(NightrankCommand, BaseSensorOperator):
    """True once landing files of the date, or of a later one, are there. Between two looks it holds no worker.

    Skipped, and with it the night, if nothing came in time: the next night takes in whatever landed since. A night of a
    back-fill waits as well while another run waits for the lake, so that tonight goes before it.
    """

    template_fields: Sequence[str] = ("root", "python", "env")

    def __init__(self, *, root: str = ROOT, python: str = PYTHON, env: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", **kwargs)
        self.root, self.python, self.env = root, python, env

    def execute(self, context: Mapping[str, Any]) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            day = date_of(context).day
            raise AirflowSkipException(f"nothing landed for {day} within {self.timeout / 3600:.1f} hours") from None

    def poke(self, context: Mapping[str, Any]) -> bool:
        if str(context["dag_run"].run_type) == "backfill" and self._lake_is_wanted(context):
            self.log.info("another run of this DAG waits for the lake and goes first")
            return False
        _, answer = self.command(context, "run", "landed", "--date", date_of(context).day.isoformat())
        if answer.code != SKIPPED:
            raise_for(answer.code, answer.body)
        return answer.code == 0

    def _lake_is_wanted(self, context: Mapping[str, Any]) -> bool:
        """A task that is about to be retried does not wait for this one, so two runs never wait for each other."""
        ti = context["ti"]
        return bool(ti.get_ti_count(dag_id=ti.dag_id, task_ids=[OPEN], states=["up_for_retry"]))
