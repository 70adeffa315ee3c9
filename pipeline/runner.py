"""Runs the list of stages here, for one date: under a lease, skipping what is done, leaving a result whatever happens."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from nightrank.feature_store.contracts.errors import ConflictError, NothingToDo, UsageError
from nightrank.feature_store.contracts.lease import Lease, held
from nightrank.feature_store.contracts.lease_record import Record
from nightrank.pipeline import result as results
from nightrank.pipeline.ending import Ending
from nightrank.pipeline.progress import LineProgress, Progress
from nightrank.pipeline.run import request as requests
from nightrank.pipeline.run.attempt import Attempt
from nightrank.pipeline.run.children import end_processes
from nightrank.pipeline.run.differing import differing
from nightrank.pipeline.run.directory import RunDirectory, open_run_directory, planned_directory
from nightrank.pipeline.run.landed_again import check_same_files, described_since
from nightrank.pipeline.run.ranks_check import check_ranks
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.run.signals import StopRequest, caught
from nightrank.pipeline.run.steps import steps_of
from nightrank.pipeline.stages import STAGES, Stage, stages_of

FINISH: Final = (sys.executable, "-m", "nightrank.trainer.tracking.runs")


@dataclass(frozen=True)
class Runner:
    """How runs are made. `finish` is called with `--run-dir R --finish` once a result is final; empty: nothing is called."""

    stages: tuple[Stage, ...] = STAGES
    progress: Progress = field(default_factory=LineProgress)
    finish: tuple[str, ...] = FINISH

    @property
    def ending(self) -> Ending:
        return Ending(self.progress, self.finish)

    def run(self, request: RunRequest) -> dict[str, Any]:
        """The run's result, also on disk. `already_done`, and nothing is touched, where it had ended before.

        ConflictError if another run works on the lake; UsageError if the lake is not ready for it; SafetyRefusal if other files
        landed for what is finished.
        """
        request = requests.due_again(request)
        run_id = requests.run_id_of(request)
        check_same_files(request)
        if requests.finished(request.lake.run_dir(run_id)):
            return self.already_done(request, run_id)
        requests.check_ready(request)
        check_ranks(request.config, lambda: self._left(request, run_id))
        with caught() as stop, held(request.lake, run_id, evict=self.evict(request)) as lease:
            if requests.finished(request.lake.run_dir(run_id)):  # by another that held the lease until now
                return self.already_done(request, run_id)
            return self._attempt(request, run_id, lease, stop)

    def run_stage(self, request: RunRequest, name: str) -> dict[str, Any]:
        """One stage of the run, again if it was done. UsageError, with nothing touched, names what it stands on that is not."""
        stage = self._stage(request, name)
        requests.check_ready(request)
        check_ranks(request.config, lambda: [stage])
        run_id = requests.run_id_of(request)
        with caught() as stop, held(request.lake, run_id, evict=self.evict(request)) as lease:
            self._check_needs(request, run_id, stage)
            directory = self.open_directory(request, run_id, lease, again=name)
            with lease.commit():
                directory.forget(stage)
            return self._work(request, directory, lease, stop, (stage,), directory.kept)

    def _stage(self, request: RunRequest, name: str) -> Stage:
        """UsageError where the run has no such stage; ConflictError where the stage would make an older date current."""
        listed = self._of_run(request, planned_directory(request, requests.run_id_of(request)))
        stage = next((stage for stage in listed if stage.name == name), None)
        if stage is None:
            raise UsageError(f"no stage {name!r}", f"stages are: {', '.join(s.name for s in listed)}{self._switches(name)}")
        if stage.changes_lists and (current := requests.newer_than(request)):
            raise ConflictError(
                f"stage {name} of {request.day} changes what is live, but the current model or lists are newer ({current})",
                "nothing was done; only `nightrank rollback` goes back in time",
            )
        return stage

    def _check_needs(self, request: RunRequest, run_id: str, stage: Stage) -> None:
        directory = planned_directory(request, run_id)
        missing = directory.missing(stage, self._of_run(request, directory))
        if missing:
            raise UsageError(
                f"stage {stage.name} of {run_id} needs {', '.join(missing)}, which is not done with this configuration",
                "run these stages first, or leave out --config and --set to use the run's own configuration",
            )

    def _switches(self, name: str) -> str:
        """The remedy for a stage that exists and is switched off."""
        switches = [stage.switch for stage in self.stages if stage.name == name and stage.switch]
        return "".join(f"; {name} is switched on by --set {switch}=true" for switch in switches)

    def plan(self, request: RunRequest, only: str | None = None) -> dict[str, Any]:
        """What `run` (or `run_stage`) would do now. Reads only."""
        request = request if only else requests.due_again(request)
        run_id = requests.run_id_of(request)
        if only is None:
            check_same_files(request)
        directory = planned_directory(request, run_id)
        over = requests.finished(directory.folder) and only is None
        status = "already_done" if over else "planned"
        note = "; ".join(differing(directory.folder, request.config)) if over else directory.note
        stages = list(self.listed(request, directory)) if only is None else [self._stage(request, only)]
        todo = [] if over else stages if only else directory.left(stages, directory.done)
        listed = [{"name": s.name, "status": "would_run" if s in todo else "done"} for s in stages]
        steps = [list(step.command) for step in steps_of(todo, directory.folder, request.config)]
        if not over:
            requests.check_ready(request)
            check_ranks(request.config, lambda: todo)
            requests.check_landed(request)
        head = {"run_id": run_id, "kind": request.kind, "date": request.day.isoformat(), "status": status}
        return {**head, "config_sha256": request.config_sha256, "stages": listed, "processes": steps, "note": note}

    def _attempt(self, request: RunRequest, run_id: str, lease: Lease, stop: StopRequest) -> dict[str, Any]:
        directory = self.open_directory(request, run_id, lease)
        return self._work(request, directory, lease, stop, self.listed(request, directory), directory.done)

    def _left(self, request: RunRequest, run_id: str) -> list[Stage]:
        """What the run would do if it were opened now."""
        directory = planned_directory(request, run_id)
        return directory.left(self.listed(request, directory), directory.done)

    def listed(self, request: RunRequest, directory: RunDirectory) -> tuple[Stage, ...]:
        return self._of_run(request, directory, back_fill=directory.context.is_back_fill)

    def _of_run(self, request: RunRequest, directory: RunDirectory, *, back_fill: bool = False) -> tuple[Stage, ...]:
        without = directory.context.without_events
        return stages_of(request.kind, request.config, self.stages, back_fill=back_fill, without_events=without)

    def evict(self, request: RunRequest) -> Callable[[Record], None]:
        """Nothing of a crashed owner is at work behind this run."""

        def end(before: Record) -> None:
            ended = end_processes(request.lake.run_dir(before.run_id))
            self.progress.note(f"run {before.run_id} had crashed" + (f"; ended {ended} of its processes" if ended else ""))

        return end

    def open_directory(self, request: RunRequest, run_id: str, lease: Lease, again: str | None = None) -> RunDirectory:
        with lease.commit():
            return open_run_directory(request, run_id, lease.fence, again)

    def _work(
        self,
        request: RunRequest,
        directory: RunDirectory,
        lease: Lease,
        stop: StopRequest,
        todo: tuple[Stage, ...],
        done: Callable[[Stage], bool],
    ) -> dict[str, Any]:
        every = self.listed(request, directory)
        try:
            requests.check_landed(request)
        except NothingToDo as nothing:
            result = results.compose(directory.folder, every, "nothing", nothing.exit_code, nothing.to_json())
            results.write(directory.folder, result)
            return self.ending.of_empty(request, directory, result)
        if request.because:
            self.progress.note(request.because)
        self.progress.begin(
            f"{directory.run_id}  attempt {directory.body['attempt']}  {directory.folder}", tuple(s.name for s in todo)
        )
        try:
            result = Attempt(directory, every, lease, stop, self.progress, request.config, done).go(todo)
            self.ending.log_result(request, directory, stop, result)
        finally:
            self.progress.end()
        return self.ending.published(request, directory, result)

    def already_done(self, request: RunRequest, run_id: str) -> dict[str, Any]:
        folder = request.lake.run_dir(run_id)
        result = requests.read_result(folder) or {}
        before = result["status"]
        self.ending.log_result(request, RunDirectory(folder, {"run_id": run_id}), StopRequest())
        notes = ["the gate rejected its challenger"] if before == "gate_rejected" else []
        words = [f"{run_id} had ended before", *notes, *differing(folder, request.config), *described_since(request)]
        return {**result, "status": "already_done", "exit_code": 0, "error": None, "note": "; ".join(words)}
