"""One attempt at a run: every stage that is not done yet, in order, until the end, a fault, a signal or a lost lease."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConflictError, DayHeld
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lease import Lease
from nightrank.feature_store.contracts.logs import file_log
from nightrank.feature_store.contracts.redaction import redactor
from nightrank.pipeline import result as results
from nightrank.pipeline.progress import Progress
from nightrank.pipeline.run import faults
from nightrank.pipeline.run.children import Child
from nightrank.pipeline.run.directory import RunDirectory
from nightrank.pipeline.run.faults import Fault
from nightrank.pipeline.run.sampler import Sampler
from nightrank.pipeline.run.signals import StopRequest
from nightrank.pipeline.run.steps import Step, steps_of
from nightrank.pipeline.stages import Stage
from nightrank.pipeline.telemetry.lineage import Lineage
from nightrank.pipeline.telemetry.settings import OperationsConfig

POLL_SECONDS: Final = 0.2
STATUS_OF_CODE: Final = {0: "done", 3: "nothing", 7: "gate_rejected"}


class Attempt:
    """Holds what one attempt knows. `go` returns the final result, which is on disk by then."""

    def __init__(
        self,
        directory: RunDirectory,
        stages: tuple[Stage, ...],
        lease: Lease,
        stop: StopRequest,
        progress: Progress,
        config: Configuration,
        done: Callable[[Stage], bool],
    ) -> None:
        """`config`: the run's, with the secrets that its folder does not keep."""
        self.directory, self.stages, self.lease, self.stop, self.progress = directory, stages, lease, stop, progress
        self.done = done
        self.failed: set[str] = set()
        """Stages of this attempt that failed without ending it."""
        self.ran: set[str] = set()
        """Stages that left their record in this attempt: they are not looked at again."""
        self._speaking = stages[0]
        self._config = config
        self._redact = redactor(config.tree)
        self._sampler = Sampler(directory.folder)
        operations = config.section("operations", OperationsConfig)
        self._log_format = operations.log_format
        self._lineage = Lineage(operations, directory.folder, progress.note)

    def go(self, todo: Sequence[Stage]) -> dict[str, Any]:
        """`todo` taken in order; what is done already is kept."""
        first = self._left(todo)
        for stage in todo:
            if stage not in first:
                self.progress.stage(stage.name, "kept", self._record(stage))
        while left := self._left(todo):
            if self.stop:
                return self._end(self._stopped())
            self._write("running", 0)
            step = steps_of(left, self.directory.folder, self._config)[0]
            fault = self._take(step)
            if fault:
                return self._end(fault)
        return self._end(None)

    def _left(self, todo: Sequence[Stage]) -> list[Stage]:
        """What is not done, and what depends on it. What an earlier step left decides whether a later stage is done."""
        ahead = [stage for stage in todo if stage.name not in self.ran | self.failed]
        return self.directory.left(ahead, self.done, self.failed)

    def _take(self, step: Step) -> Fault | None:
        """Runs one step. The fault that ends the run, or None; a fault that does not end it is kept for the end."""
        code = self._run(step)
        for stage in step.stages:
            self.directory.keep_log(stage.name)
            if self.directory.recorded(stage):
                self.ran.add(stage.name)
                continue
            if self.stop:
                return self._stopped()
            fault = faults.of_stage(self.directory, stage, code)
            self._tell(stage, "failed")
            if stage.on_failure == "stop":
                self._show(stage, fault)
                return fault
            self.failed.add(stage.name)
            break
        return None

    def _run(self, step: Step) -> int:
        """The step's exit code; each stage's start and end is told as its record appears."""
        with self.lease.commit():
            for stage in step.stages:
                self.directory.forget(stage)
        waiting = list(step.stages)
        self._speaking = waiting[0]
        self._start(waiting[0])
        logs = {f"stage {stage.name}": stage for stage in step.stages}
        with step.started_by() as command:
            child = Child(
                command,
                self.directory.folder,
                lambda line: self._listen(line, logs),
                self.lease.fence,
                config=self._config,
            )
            return self._wait(child, waiting)

    def _wait(self, child: Child, waiting: list[Stage]) -> int:
        """The exit code; stages leave `waiting` as their records appear."""
        code = None
        while code is None:
            code = child.wait(POLL_SECONDS)
            self._sampler.look(child.pid)
            if self.stop or self.lease.lost.is_set():
                child.end(self.directory.folder)
                self._check_lease()
                return code or -int(self.stop.number or 0)
            while waiting and self.directory.recorded(waiting[0]):
                self._sampler.write(waiting[0].name)
                self._tell(waiting[0], "done", self._record(waiting[0]))
                waiting.pop(0)
                if waiting and code is None:
                    self._start(waiting[0])
        return code

    def _stopped(self) -> Fault:
        number = int(self.stop.number or 0)
        return Fault(
            128 + number, "interrupted", f"stopped by {self.stop.name}", "the same command continues where this run stood"
        )

    def _start(self, stage: Stage) -> None:
        self.directory.log_of(stage).parent.mkdir(parents=True, exist_ok=True)
        self._file(stage, f"--- {stage.name}, attempt {self.directory.body['attempt']} of {self.directory.run_id}\n")
        self._tell(stage, "running")
        self._sampler.start()

    def _tell(self, stage: Stage, status: str, record: dict[str, Any] | None = None) -> None:
        self.progress.stage(stage.name, status, record)
        self._lineage.stage(stage.name, status, record)

    def _listen(self, line: str, logs: dict[str, Stage]) -> None:
        """Each line to the log of the stage that said it; a host of several announces each by `stage <name>`."""
        self._speaking = logs.get(line.strip(), self._speaking)
        self._file(self._speaking, line)

    def _file(self, stage: Stage, line: str) -> None:
        """Each line of its words to the stage's log, with time, run and stage."""
        with open(self.directory.log_of(stage), "a") as file:
            file_log(file, self.directory.run_id, stage.name, self._redact, self._log_format).info(line.rstrip("\n"))
        self.progress.line(self._redact(line))

    def _check_lease(self) -> None:
        """ConflictError if a newer run has the lake; the result is written unless that run is this one, begun again."""
        if not self.lease.lost.is_set():
            return
        newer, _ = fences.superseded_by(self.lease.lake, self.lease.fence) or ("unknown", 0)
        conflict = ConflictError(
            f"run {self.directory.run_id} (fence {self.lease.fence}) lost the lake to run {newer}",
            "nothing more was committed; start the run again when the other one has ended",
        )
        if newer != self.directory.run_id:
            results.write(self.directory.folder, self._composed("failed", conflict.exit_code, conflict.to_json()))
        raise conflict

    def _show(self, stage: Stage, fault: Fault) -> None:
        """The end of a failed stage's log, so that the user need not look for it."""
        if not stage.ends_run and fault.code == "unexpected":
            for line in faults.tail(self.directory.log_of(stage)):
                self.progress.note(f"  | {line}")

    def _end(self, fault: Fault | None) -> dict[str, Any]:
        fault = fault or next((faults.of_stage(self.directory, s, 1) for s in self.stages if self.directory.error_of(s)), None)
        if fault is None:
            every = not self._left(self.stages)
            return self._write("done" if every else "running", 0)
        status = "held" if fault.code == DayHeld.code else STATUS_OF_CODE.get(fault.exit_code, "failed")
        return self._write(status, fault.exit_code, fault.to_json())

    def _write(self, status: str, exit_code: int, error: dict[str, Any] | None = None) -> dict[str, Any]:
        result = self._composed(status, exit_code, error)
        with self.lease.commit():
            results.write(self.directory.folder, result)
        return result

    def _composed(self, status: str, exit_code: int, error: dict[str, Any] | None) -> dict[str, Any]:
        return results.compose(self.directory.folder, self.stages, status, exit_code, error)

    def _record(self, stage: Stage) -> dict[str, Any]:
        return dict(read_json(self.directory.folder / "stages" / f"{stage.name}.json"))
