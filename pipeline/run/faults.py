"""Turns the exit of a stage process into an error with a message and a remedy."""

import signal
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.errors import BY_CODE
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.logs import words_of
from nightrank.pipeline.run.directory import RunDirectory
from nightrank.pipeline.stages import Stage

TAIL_LINES: Final = 20
AGAIN: Final = "the same command continues at this stage"
_CODES: Final = {kind.exit_code: kind.code for kind in BY_CODE.values() if kind.code not in ("configuration", "held")}


@dataclass(frozen=True)
class Fault:
    """Why a stage, and with it perhaps the run, did not succeed."""

    exit_code: int
    code: str
    message: str
    remedy: str

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


def of_stage(directory: RunDirectory, stage: Stage, exit_code: int) -> Fault:
    """What the stage says of itself, else what its exit code and its last words say; recorded beside the stages."""
    error = directory.error_of(stage)
    if error:
        return Fault(int(error["exit_code"]), error["code"], error["message"], error["remedy"])
    log = directory.log_of(stage)
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        fault = Fault(1, "unexpected", f"stage {stage.name} was ended by {name}", f"{AGAIN}; its log is {log}")
    elif exit_code == 0:
        fault = Fault(1, "unexpected", f"stage {stage.name} ended without its record", f"its log is {log}")
    else:
        words = next((line for line in reversed(tail(log)) if line.strip()), f"exit code {exit_code}").strip()
        known = exit_code if exit_code in _CODES else 1
        fault = Fault(known, _CODES[known], f"stage {stage.name} failed: {words}", f"its log is {log}; {AGAIN}")
    record = {"name": stage.name, "exit_code": fault.exit_code, **fault.to_json()}
    write_json(directory.folder / "stages" / f"{stage.name}.error.json", record)
    return fault


def tail(log: Path, lines: int = TAIL_LINES) -> list[str]:
    """The last words of a log."""
    if not log.exists():
        return []
    with open(log, errors="replace") as handle:
        return [words_of(line.rstrip("\n")) for line in deque(handle, lines)]
