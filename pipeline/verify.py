"""`nightrank verify`: every hand-off of one run, checked from the files, without a JVM."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pyarrow import ArrowException

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import DataContractError, NightrankError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.checks import lists, model, run_files, snapshot
from nightrank.pipeline.checks.check import Check, NotApplicable, Subject

CHECKS: Final[dict[str, Callable[[Subject], str]]] = {
    "run.json": run_files.run_json,
    "result.json": run_files.result_json,
    "stages": run_files.stage_records,
    "snapshot": snapshot.identity,
    "pinned files": snapshot.pinned_files,
    "bundle": model.bundle,
    "model reference": model.model_ref,
    "promotion": model.promotion,
    "live bundle": model.live_bundle,
    "click bundle": model.ctr_bundle,
    "release": lists.release,
    "lists complete": lists.complete,
    "one release": lists.one_release,
    "every user": lists.every_user,
    "on sale": lists.on_sale,
    "list content": lists.content,
    "report": run_files.report,
}


@dataclass(frozen=True)
class Outcome:
    run_id: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if check.status == "failed")

    @property
    def status(self) -> str:
        return "failed" if self.failed else "ok"

    @property
    def exit_code(self) -> int:
        return DataContractError.exit_code if self.failed else 0

    def to_json(self) -> dict[str, Any]:
        head = {"run_id": self.run_id, "status": self.status, "exit_code": self.exit_code}
        return {**head, "failed": list(self.failed), "checks": [check.to_json() for check in self.checks]}


def verify_run(lake: Lake, run_id: str | None = None) -> Outcome:
    """Every check on that run, or on the run of the current release. UsageError where there is no such run."""
    subject = Subject(lake, run_id or _current_run(lake))
    if not (subject.folder / "run.json").exists():
        known = ", ".join(sorted(path.name for path in (lake.root / "runs").glob("*"))[-5:]) or "none"
        raise UsageError(f"no run {subject.run_id} on {lake.root}", f"its latest runs are: {known}")
    return Outcome(subject.run_id, tuple(_check(name, function, subject) for name, function in CHECKS.items()))


def _current_run(lake: Lake) -> str:
    release = delta_read.latest_release(lake)
    if release is None:
        raise UsageError(f"nothing is released on {lake.root} yet", "run `nightrank full`, or name a run with --run")
    return release.run_id


def _check(name: str, function: Callable[[Subject], str], subject: Subject) -> Check:
    try:
        return Check(name, "ok", function(subject))
    except NotApplicable as reason:
        return Check(name, "skipped", str(reason))
    except NightrankError as error:
        return Check(name, "failed", error.message)
    except (OSError, LookupError, ValueError, TypeError, ArrowException) as error:
        # A hand-off that cannot even be read is what this command is asked to find.
        return Check(name, "failed", f"cannot be read: {type(error).__name__}: {error}")
