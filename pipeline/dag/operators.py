"""The tasks that run a `nightrank` command: open a run, work through stages of it, close it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from nightrank.pipeline.dag.assets import describe, describe_held, held_of
from nightrank.pipeline.dag.command import Answer, Command
from nightrank.pipeline.dag.dates import RunDate, date_of
from nightrank.pipeline.dag.outcomes import raise_for

ROOT: Final = "{{ var.value.nightrank_root }}"
"""The lake's root: the Airflow variable `nightrank_root`."""
PYTHON: Final = "{{ var.value.nightrank_python }}"
"""The Python that nightrank is installed for, with its packages: the Airflow variable `nightrank_python`."""
OPEN: Final = "open"
CLOSE: Final = "close"
"""Ids of the tasks that open and close."""


def kind_of(context: Mapping[str, Any]) -> str:
    return "full" if context["params"]["full"] else "nightly"


class NightrankCommand:
    """What an operator and a sensor share: a command of one date of one lake, whose process group ends with the task."""

    log: Any
    root: str
    python: str
    env: dict[str, str] | None
    running: Command | None = None

    def command(self, context: Mapping[str, Any], *words: str, when: RunDate | None = None) -> tuple[RunDate, Answer]:
        """The date that was worked on, and the answer. The log has every line, and says where the date was found."""
        when = when or date_of(context)
        self.log.info("the date is %s, from: %s", when.day, when.source)
        whole = [*words, "--root", self.root]
        self.log.info("nightrank %s", " ".join(whole))
        try:
            self.running = Command(self.python, whole, self.env)
        except OSError as error:
            raise AirflowFailException(f"{self.python}: {error.strerror}; set the variable nightrank_python") from None
        reported = ["nothing"]

        def relay(line: str) -> None:
            reported[0] = line or reported[0]
            self.log.info(line)

        try:
            return when, self.running.wait(relay)
        except AirflowTaskTimeout:
            late = f"`nightrank {' '.join(words)}` has taken longer than a task may; its last line: {reported[0]}"
            raise AirflowTaskTimeout(late) from None
        finally:
            self.running = None

    def on_kill(self) -> None:
        """Driver, ranks and executors end with the task."""
        if self.running is not None:
            self.running.end()


class NightrankOperator(NightrankCommand, BaseOperator):
    """A `nightrank` command of a Python of its own. Its exit code decides between success, skip, failure and retry."""

    template_fields: Sequence[str] = ("root", "python", "env")

    def __init__(self, *, root: str = ROOT, python: str = PYTHON, env: dict[str, str] | None = None, **kwargs: Any) -> None:
        """`env`: variables for the command, over those that it inherits."""
        super().__init__(**kwargs)
        self.root, self.python, self.env = root, python, env


class OpenRun(NightrankOperator):
    """Takes the lake for the run of the date, and hands its id and stages on. Skipped on a day without rows, and by `dry_run`,
    which writes the plan into the log. Retried while another run holds the lake."""

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        params, kind, when = context["params"], kind_of(context), date_of(context)
        options = [word for name in params["config"] for word in ("--config", name)]
        options += [word for setting in params["set"] for word in ("--set", setting)]
        options += ["--redo"] if params["redo"] else []
        if params["dry_run"]:
            self._plan(context, kind, when, options)
        options += ["--accept"] if params["accept"] else []
        _, answer = self.command(
            context, "run", "open", "--date", when.day.isoformat(), "--kind", kind, *options, when=when
        )  # fmt: skip
        raise_for(answer.code, answer.body)
        stages = [stage["name"] for stage in answer.body["stages"]]
        found = {"run_id": answer.body["run_id"], "status": answer.body["status"], "stages": stages}
        return {**found, "kind": kind, "date": when.day.isoformat(), "date_from": when.source}

    def _plan(self, context: Mapping[str, Any], kind: str, when: RunDate, options: Sequence[str]) -> None:
        command = ("full", "--as-of") if kind == "full" else ("nightly", "--date")
        _, answer = self.command(context, *command, when.day.isoformat(), "--dry-run", *options, when=when)
        raise_for(answer.code, answer.body)
        for stage in answer.body["stages"]:
            self.log.info("%s: %s", stage["name"], stage["status"])
        raise AirflowSkipException(f"dry run of {answer.body['run_id']}: nothing was changed")


class RunStages(NightrankOperator):
    """Works through stages of the open run, as far as they are not done. Skipped where the run has none of them."""

    def __init__(self, *, stages: Sequence[str], needs: Sequence[str] = (), **kwargs: Any) -> None:
        """`needs`: tasks without whose success it is skipped, where its trigger rule does not ask for that."""
        super().__init__(**kwargs)
        self.stages, self.needs = list(stages), list(needs)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        skip_without(context, self.needs)
        when, answer = self.command(
            context, "run", "stage", *self.stages, "--date", date_of(context).day.isoformat(), "--kind", kind_of(context)
        )
        if held := held_of(answer.body):
            context["ti"].xcom_push(key="held", value={"date": when.day.isoformat(), **held})
        verdict = verdict_of(answer.body)
        if "verdict" in self.stages and verdict:
            context["ti"].xcom_push(key="verdict", value=verdict)
            self.log.info("verdict: %s; report: %s", verdict["gate"].get("decision"), verdict["report"])
        raise_for(answer.code, answer.body)
        describe(context["outlet_events"], self.outlets, when, answer.body)
        return {"run_id": answer.body["run_id"], "status": answer.body["status"]}


class CloseRun(NightrankOperator):
    """Writes the run's final result and frees the lake, however its stages ended."""

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        day = date_of(context).day.isoformat()
        when, answer = self.command(context, "run", "close", "--date", day, "--kind", kind_of(context))
        raise_for(answer.code, answer.body)
        self.log.info("%s", answer.body.get("note"))
        describe_held(context["outlet_events"], when, answer.body)
        return {key: answer.body.get(key) for key in ("run_id", "status", "report")}


def skip_without(context: Mapping[str, Any], needs: Sequence[str]) -> None:
    """AirflowSkipException unless all of these tasks of the run have succeeded."""
    if not needs:
        return
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=list(needs), run_ids=[ti.run_id]).get(ti.run_id, {})
    if missing := [need for need in needs if states.get(need) != "success"]:
        raise AirflowSkipException(f"it stands on {', '.join(missing)}")


def verdict_of(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The gate's word as small JSON, with where the report and the run are."""
    gate = result.get("gate")
    if not gate:
        return None
    told = {key: gate.get(key) for key in ("decision", "reasons", "delta", "ci", "n", "nights")}
    page = f"runs/{result.get('run_id')}/report.html"  # written by `report`, which may still be at work
    return {"gate": told, "run_id": result.get("run_id"), "report": page, "model": result.get("model")}
