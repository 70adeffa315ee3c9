"""Neighbouring Spark stages as one application on a cluster."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import ObjectStoragePath

import nightrank
from nightrank.pipeline.dag.assets import describe
from nightrank.pipeline.dag.dates import date_of
from nightrank.pipeline.dag.operators import OPEN, PYTHON, ROOT, NightrankCommand, kind_of, skip_without
from nightrank.pipeline.dag.outcomes import raise_for

HOST: Final = Path(nightrank.__file__).parent / "spark_jobs" / "driver" / "host.py"
"""The program of such an application."""


class SparkStages(NightrankCommand, SparkSubmitOperator):
    """Stages of the open run in one Spark application, as far as they are not done.

    The provider turns every exit code into text, so the code is read from the record that a failed stage leaves in the lake.
    Never durable: a task that is cleared or retried submits again, and the stages that stand are left out.
    """

    template_fields: Sequence[str] = (*SparkSubmitOperator.template_fields, "root", "python", "env")
    _spark_binary: str | None

    def __init__(
        self,
        *,
        stages: Sequence[str],
        needs: Sequence[str] = (),
        root: str = ROOT,
        python: str = PYTHON,
        env: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """`conf`, templated, holds the resources; `conn_id` names the master. `python` runs the driver, in client mode."""
        variables = {"PYSPARK_DRIVER_PYTHON": python, "PYSPARK_PYTHON": python, **(env or {})}
        super().__init__(application=str(HOST), durable=False, env_vars=variables, **kwargs)
        self.env = env
        self.stages, self.needs, self.root, self.python = list(stages), list(needs), root, python

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        skip_without(context, self.needs)
        when = date_of(context)
        self.log.info("the date is %s, from: %s", when.day, when.source)
        run = context["ti"].xcom_pull(task_ids=OPEN)
        todo = [name for name in self.stages if name in run["stages"]]
        if not todo:
            return self._left_out(context)
        records = Records(ObjectStoragePath(self.root) / "runs" / run["run_id"] / "stages")
        if run["status"] != "already_done":
            self._submit(context, run["run_id"], todo, records)
        describe(context["outlet_events"], self.outlets, when, {**run, **records.result(todo)})
        return {"run_id": run["run_id"], "status": "done"}

    def _left_out(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """The run has none of the stages; the command says whether the tasks behind go on (it starts nothing)."""
        day = date_of(context).day.isoformat()
        _, answer = self.command(context, "run", "stage", *self.stages, "--date", day, "--kind", kind_of(context))
        raise_for(answer.code, answer.body)
        return {"run_id": answer.body["run_id"], "status": answer.body["status"]}

    def on_kill(self) -> None:
        """Neither the application nor a command is left."""
        NightrankCommand.on_kill(self)
        SparkSubmitOperator.on_kill(self)

    def _submit(self, context: Mapping[str, Any], run_id: str, todo: Sequence[str], records: "Records") -> None:
        beside = Path(self.python).parent / "spark-submit"
        self._spark_binary = self._spark_binary or (str(beside) if beside.exists() else None)
        self.application_args = ["--run-dir", f"{self.root}/runs/{run_id}", "--stages", ",".join(todo)]
        before = records.faults(todo)
        try:
            super().execute(context)
        except Exception:
            fresh = [fault for name, fault in records.faults(todo).items() if fault != before.get(name)]
            if fresh:
                raise_for(int(fresh[0][1]["exit_code"]), {"error": fresh[0][1]})
            raise  # no stage failed by itself: the cluster's fault, and a reason to try again


class Records:
    """What stages of a run left in the lake, wherever that stands."""

    def __init__(self, folder: ObjectStoragePath) -> None:
        self.folder = folder

    def faults(self, names: Sequence[str]) -> dict[str, tuple[float, dict[str, Any]]]:
        """The fault of each stage that has one, with the time it was written: an old one is no news."""
        paths = {name: self.folder / f"{name}.error.json" for name in names}
        return {name: (path.stat().st_mtime, _json(path)) for name, path in paths.items() if path.exists()}

    def result(self, names: Sequence[str]) -> dict[str, Any]:
        """Tables and hand-offs of these stages, under the names they have in result.json."""
        paths = [self.folder / f"{name}.json" for name in (*names, "gate")]
        left = [_json(path) for path in paths if path.exists()]
        outputs = {key: value for record in left for key, value in (record.get("output") or {}).items()}
        return {**outputs, "stages": left}


def _json(path: ObjectStoragePath) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(path.read_text())
    return body
