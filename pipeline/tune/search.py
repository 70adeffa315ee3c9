"""`nightrank tune`: the search as a process of its own, one at a time for a study."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.errors import ConflictError, NightrankError, NothingToDo, error_of
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.logs import file_log
from nightrank.feature_store.contracts.redaction import redactor
from nightrank.feature_store.contracts.storage import workplace
from nightrank.pipeline.output import err
from nightrank.pipeline.run.children import Child, end_processes
from nightrank.pipeline.run.signals import caught
from nightrank.trainer.tune.spec import StudySpec

SHOWN: Final = ("tune: ", "train ", "checkpoint ")
"""How lines begin that a person is shown; all of them are in the study's log."""


def tune(spec: StudySpec) -> dict[str, Any]:
    """The study's result with `status` and `exit_code`; 3 where it had all of its trials before.

    ConflictError while another process searches the same study; else the search's own fault.
    """
    earlier = result_of(spec)
    if earlier is not None and enough(spec, earlier):
        return {**earlier, "status": "already_done", "exit_code": NothingToDo.exit_code}
    with _alone(spec):
        end_processes(spec.folder)  # of a command that was killed
        spec.error_path.unlink()
        spec.save()
        code = _search(spec)
    if code:
        raise _fault(spec, code)
    status = "done" if enough(spec, result := read_json(spec.result_path)) else "stopped"
    return {**result, "status": status, "exit_code": 0}


def plan_of(spec: StudySpec) -> dict[str, Any]:
    """What `tune` would do now. Reads only."""
    earlier = result_of(spec)
    return {
        "status": "already_done" if earlier is not None and enough(spec, earlier) else "planned",
        "study": spec.study,
        "folder": str(spec.folder),
        "run_id": spec.run_id,
        "snapshot": spec.snapshot,
        "trials": spec.trials,
        "begun": len(spec.folder.glob("trial-*")),
        "space": {key: dimension.model_dump(mode="json", exclude_none=True) for key, dimension in spec.space.items()},
        "process": list(_command(spec)),
    }


def enough(spec: StudySpec, result: dict[str, Any]) -> bool:
    return bool(result["trials"] >= spec.trials or result["exhausted"])


def result_of(spec: StudySpec) -> dict[str, Any] | None:
    return dict(read_json(spec.result_path)) if spec.result_path.exists() else None


def _search(spec: StudySpec) -> int:
    """The search's exit code, or 128 + the signal that ended it."""
    redact = redactor(spec.config.tree)
    with caught() as stop, open(_log(spec), "a") as log:
        words = file_log(log, spec.study, "tune", redact)

        def listen(line: str) -> None:
            words.info(line.rstrip("\n"))
            if line.startswith(SHOWN):
                err(redact(line.rstrip("\n")))

        child = Child(_command(spec), spec.folder, listen, config=spec.config)
        while (code := child.wait(0.2)) is None:
            if stop:
                child.end(spec.folder)
                return 128 + int(stop.number or 0)
        return code


def _log(spec: StudySpec) -> Path:
    return workplace(spec.folder) / "search.log"


def _command(spec: StudySpec) -> tuple[str, ...]:
    return (sys.executable, "-m", "nightrank.trainer.tune.run", "--study-dir", str(spec.folder))


def _fault(spec: StudySpec, code: int) -> NightrankError:
    if spec.error_path.exists():
        return error_of(read_json(spec.error_path))
    again = f"the same command continues; the log is {_log(spec)}"
    if code > 128:
        return _Interrupted(code, f"the search was stopped by signal {code - 128}", again)
    return NightrankError(f"the search ended with exit code {code}", again)


class _Interrupted(NightrankError):
    """Stopped from outside; ends with 128 + the signal."""

    code = "interrupted"

    def __init__(self, exit_code: int, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.exit_code = exit_code  # type: ignore[misc]


@contextmanager
def _alone(spec: StudySpec) -> Iterator[None]:
    """One search a study: a lock that ends with this process. The lake's lease is not taken: nothing of a night is touched."""
    here = workplace(spec.folder)
    here.mkdir(parents=True, exist_ok=True)
    with open(here / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"study {spec.study} is being searched by another process", "wait until it ends, or stop it"
            ) from None
        yield
