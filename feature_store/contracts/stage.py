"""What every stage is given and what it leaves behind, whichever engine runs it."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import RUN_DIR, within
from nightrank.feature_store.contracts.secret_settings import restored

FENCE: Final = "NIGHTRANK_FENCE"
"""Beside RUN_DIR in the environment: the fence under which the run started that process."""


@dataclass(frozen=True)
class StageContext:
    """One run's facts, the same for all of its stages; read from `runs/<id>/run.json`."""

    root: Path
    run_id: str
    kind: str
    """full | nightly"""
    day: date
    seed: int
    fence: int
    config: dict[str, Any]
    """The whole resolved configuration, its secrets among it; each stage validates the sections it owns."""
    attempt: int = 1

    @property
    def lake(self) -> Lake:
        return Lake(self.root)

    @property
    def run_dir(self) -> Path:
        return self.lake.run_dir(self.run_id)

    def stage_file(self, stage: str) -> Path:
        return self.run_dir / "stages" / f"{stage}.json"

    def result_of(self, stage: str) -> "StageResult":
        return StageResult(**read_json(self.stage_file(stage)))

    def check_fence(self) -> None:
        """ConflictError if a newer run has taken the lake over. To stop early; what is written goes inside `commit`."""
        fences.check(self.lake, self.run_id, self.fence)

    def commit(self) -> AbstractContextManager[None]:
        """Around every write that others see: inside, nobody can take the lake over. ConflictError if somebody has."""
        return fences.commit(self.lake, self.run_id, self.fence)


@dataclass
class StageResult:
    """What a stage did. `extra` holds whole sections of result.json (snapshot, training, model, gate, release, metrics)."""

    name: str
    status: str = "done"
    exit_code: int = 0
    attempt: int = 1
    seconds: float = 0.0
    rows_in: int = 0
    rows_out: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    tables: list[dict[str, Any]] = field(default_factory=list)
    """{name, from, to, content_sha256}"""
    counts: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def save(self, context: StageContext) -> None:
        with context.commit():
            write_json(context.stage_file(self.name), asdict(self))


StageFunction = Callable[[StageContext], StageResult]


def load_context(run_dir: Path) -> StageContext:
    body = read_json(run_dir / "run.json")
    return StageContext(
        root=Path(body["root"]),
        run_id=body["run_id"],
        kind=body["kind"],
        day=date.fromisoformat(body["date"]),
        seed=body["seed"],
        fence=body["fence"],
        config=restored(body["config"]),
        attempt=body.get("attempt", 1),
    )


def run_stage(name: str, function: StageFunction, context: StageContext) -> StageResult:
    """Run, time and record one stage. A fault leaves `stages/<name>.error.json` and is raised on."""
    started = time.monotonic()
    error_file = context.run_dir / "stages" / f"{name}.error.json"
    try:
        context.check_fence()
        with within(context.run_id, name):
            result = function(context)
        result.seconds = round(time.monotonic() - started, 3)
        result.attempt = context.attempt
        result.save(context)
    except NightrankError as error:
        # The folder may be another's by now: the same run, begun again elsewhere.
        newer = fences.superseded_by(context.lake, context.fence)
        if newer is None or newer[0] != context.run_id:
            write_json(error_file, {"name": name, "exit_code": error.exit_code, **error.to_json()})
        raise
    error_file.unlink(missing_ok=True)
    return result


@contextmanager
def opened(run_dir: Path) -> Iterator[StageContext]:
    """The run's context under a living fence: the one its runner gave, or for a stage started alone a lease of its own."""
    given = os.environ.get(FENCE)
    context = load_context(run_dir)
    if given and Path(os.environ.get(RUN_DIR, "")).resolve() == run_dir.resolve():
        # Not the fence in run.json: the same run, begun again elsewhere, may have written a newer one there.
        yield replace(context, fence=int(given))
        return
    with leases.held(context.lake, context.run_id) as lease:
        with fences.commit(context.lake, context.run_id, lease.fence):
            write_json(run_dir / "run.json", {**read_json(run_dir / "run.json"), "fence": lease.fence})
        yield replace(context, fence=lease.fence)


def stage_main(name: str, function: StageFunction, argv: list[str] | None = None) -> int:
    """The command line of one stage: `--run-dir LAKE/runs/<id>`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog=name, description=(function.__doc__ or name).splitlines()[0])
    parser.add_argument("--run-dir", type=Path, required=True, help="the run's folder, with run.json in it")
    arguments = parser.parse_args(argv)
    with exit_codes() as outcome, opened(arguments.run_dir) as context:
        run_stage(name, function, context)
    return outcome[0]


@contextmanager
def exit_codes() -> Iterator[list[int]]:
    """Turns a NightrankError into one readable line and its exit code; anything else keeps its traceback."""
    outcome = [0]
    try:
        yield outcome
    except NightrankError as error:
        outcome[0] = error.exit_code
        print(f"{error.code}: {error.message}" + (f"\n  way out: {error.remedy}" if error.remedy else ""), file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
