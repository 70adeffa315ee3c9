"""A run in the hands of an orchestrator: opened, worked through task by task in processes of their own, closed."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from nightrank.feature_store.contracts import open_run as open_runs
from nightrank.feature_store.contracts.errors import ConflictError, NothingToDo, UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lease_record import Task
from nightrank.pipeline import result as results
from nightrank.pipeline.run import request as requests
from nightrank.pipeline.run.attempt import Attempt
from nightrank.pipeline.run.children import end_processes
from nightrank.pipeline.run.directory import RunDirectory
from nightrank.pipeline.run.landed_again import check_same_files
from nightrank.pipeline.run.ranks_check import check_ranks
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.run.signals import caught
from nightrank.pipeline.runner import Runner
from nightrank.pipeline.stages import Stage

OPEN: Final = "open"
CLOSE: Final = "close"
"""Names of the tasks that open and close."""


@dataclass(frozen=True)
class Orchestrated:
    """The three things that an orchestrator does with a run. Each may be done again, and nothing is done twice."""

    runner: Runner

    def open(self, request: RunRequest) -> dict[str, Any]:
        """The lake is the run's until `close`, and run.json stands. ConflictError if another run works on the lake.

        `already_done` where the run had ended, `nothing` on an empty day: then the lake is free.
        """
        request = requests.due_again(request)
        run_id = requests.run_id_of(request)
        check_same_files(request)
        if requests.finished(request.lake.run_dir(run_id)):
            return self.runner.already_done(request, run_id)
        requests.check_ready(request)
        open_runs.open_run(request.lake, run_id, evict=self.runner.evict(request))
        with open_runs.task(request.lake, run_id, OPEN) as lease:
            directory = self.runner.open_directory(request, run_id, lease)
            every = self.runner.listed(request, directory)
            try:
                requests.check_landed(request)
            except NothingToDo as nothing:
                result = results.compose(directory.folder, every, "nothing", nothing.exit_code, nothing.to_json())
            else:
                result = results.compose(directory.folder, every, "running", 0)
            with lease.commit():
                results.write(directory.folder, result)
            if result["status"] == "nothing":
                result = self.runner.ending.of_empty(request, directory, result)
        if result["status"] == "nothing":
            open_runs.close_run(request.lake, run_id)
        return result

    def work(self, request: RunRequest, names: Sequence[str]) -> dict[str, Any]:
        """These stages, as far as they are not done; neighbours on Spark share an application.

        Exit code 3, and nothing is started, where the run has none of them: a back-fill, or what is switched off. What a
        night without events leaves out ends with 0: the tasks behind it go on.
        UsageError if the run is not open, or a stage stands on one that is not done.
        """
        run_id = requests.run_id_of(request)
        if requests.finished(request.lake.run_dir(run_id)):
            return self.runner.already_done(request, run_id)
        with caught() as stop, self._task(request, run_id, ",".join(names)) as lease:
            directory = self._directory(request, run_id)
            every = self.runner.listed(request, directory)
            todo = tuple(stage for stage in every if stage.name in names)
            if not todo:
                return self._none_of(directory, every, names)
            self._check_needs(directory, todo, every)
            check_ranks(request.config, lambda: directory.left(todo, directory.done))
            self.runner.progress.begin(f"{run_id}  {', '.join(names)}  {directory.folder}", tuple(stage.name for stage in todo))
            try:
                result = Attempt(
                    directory, every, lease, stop, self.runner.progress, request.config, directory.done
                ).go(todo)  # fmt: skip
            finally:
                self.runner.progress.end()
        return _of_stages(result, directory, todo)

    def close(self, request: RunRequest) -> dict[str, Any]:
        """The result is final and the lake is free, whatever the tasks came to. An empty run, or one that is closed, stays so.

        Also where the run was opened by another version. ConflictError while a task is at work.
        """
        run_id = requests.run_id_of(request)
        folder = request.lake.run_dir(run_id)
        if not open_runs.is_open(request.lake, run_id):
            result = requests.read_result(folder) or _empty(run_id, f"{run_id} was never opened")
            return {**result, "exit_code": 0, "note": result.get("note") or f"{run_id} is not open"}
        if busy := open_runs.at_work(request.lake):
            raise ConflictError(f"{', '.join(busy)} of {run_id} is still at work", "close the run when its tasks have ended")
        with caught() as stop, open_runs.task(request.lake, run_id, CLOSE) as lease:
            directory = RunDirectory(folder, read_json(folder / "run.json"))
            every = self.runner.listed(request, directory)
            result = Attempt(directory, every, lease, stop, self.runner.progress, request.config, directory.done).go(())
            if result["status"] == "running":
                left = [stage.name for stage in directory.left(every, directory.done)]
                error = {
                    "code": "incomplete",
                    "message": f"closed before {', '.join(left)}",
                    "remedy": "open it again and go on",
                }
                result = results.compose(folder, every, "failed", 1, error)
                with lease.commit():
                    results.write(folder, result)
            self.runner.ending.log_result(request, directory, stop, result)
            result = self.runner.ending.published(request, directory, result)
        open_runs.close_run(request.lake, run_id)
        return {**result, "exit_code": 0, "note": f"closed; the run ended as {result['status']}"}

    def _task(self, request: RunRequest, run_id: str, name: str) -> AbstractContextManager[open_runs.TaskLease]:
        """A new attempt at it. What an attempt before it left running on this machine is ended."""

        def evict(zombie: Task) -> None:
            ended = end_processes(request.lake.run_dir(run_id), zombie.fence)
            self.runner.progress.note(
                f"an earlier attempt at {name} had not ended" + (f"; ended {ended} of its processes" if ended else "")
            )

        return open_runs.task(request.lake, run_id, name, evict=evict)

    def _directory(self, request: RunRequest, run_id: str) -> RunDirectory:
        """The open run as it stands. UsageError if the configuration given is not the one it was opened with."""
        folder = request.lake.run_dir(run_id)
        body = read_json(folder / "run.json")
        if body["config_sha256"] != request.config_sha256:
            raise UsageError(
                f"{run_id} was opened with another configuration, or by another version of nightrank",
                "leave --config and --set away; if there are none, open it again: what is done is kept",
            )
        return RunDirectory(folder, body)

    def _check_needs(self, directory: RunDirectory, todo: tuple[Stage, ...], every: tuple[Stage, ...]) -> None:
        own = {stage.name for stage in todo}
        missing = sorted({need for stage in todo for need in directory.missing(stage, every)} - own)
        if missing:
            raise UsageError(
                f"{', '.join(sorted(own))} of {directory.run_id} needs {', '.join(missing)}, which is not done",
                "run these stages first",
            )

    def _none_of(self, directory: RunDirectory, every: tuple[Stage, ...], names: Sequence[str]) -> dict[str, Any]:
        unknown = [name for name in names if name not in {stage.name for stage in self.runner.stages}]
        if unknown:
            raise UsageError(f"no stage {', '.join(unknown)}", f"stages are: {', '.join(stage.name for stage in every)}")
        why = directory.note or "switched off in this run"
        goes_on = directory.context.without_events
        return {
            "run_id": directory.run_id,
            "status": "done" if goes_on else "nothing",
            "exit_code": 0 if goes_on else 3,
            "error": None,
            "note": f"{', '.join(names)}: {why}",
        }


def _empty(run_id: str, note: str) -> dict[str, Any]:
    """The answer of a command that started nothing."""
    fields = dict.fromkeys(("error", "gate", "report", "release", "metrics"))
    return {**fields, "run_id": run_id, "status": "nothing", "stages": [], "note": note}


def _of_stages(result: dict[str, Any], directory: RunDirectory, todo: tuple[Stage, ...]) -> dict[str, Any]:
    """The result as this task's: other tasks' faults are theirs."""
    error = next((found for stage in todo if (found := directory.error_of(stage))), None)
    if error is not None:
        return {**result, "status": "failed", "exit_code": int(error["exit_code"]), "error": error}
    interrupted = result["error"] is not None and result["error"]["code"] == "interrupted"
    return result if interrupted else {**result, "status": "done", "exit_code": 0, "error": None}
