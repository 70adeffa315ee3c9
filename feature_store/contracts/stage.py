"""How a stage is run and recorded, whichever engine it needs."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import open_run as open_runs
from nightrank.feature_store.contracts.context import StageContext, StageResult, load_context
from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.fingerprint import identities_of
from nightrank.feature_store.contracts.logs import RUN_DIR, log, within
from nightrank.feature_store.contracts.storage import Location, locate

__all__ = [
    "FENCE",
    "RUN_DIR",
    "StageContext",
    "StageFunction",
    "StageResult",
    "exit_codes",
    "load_context",
    "opened",
    "run_stage",
    "stage_main",
]

FENCE: Final = "NIGHTRANK_FENCE"
"""Beside RUN_DIR in the environment: the fence under which the run started that process."""


StageFunction = Callable[[StageContext], StageResult]


def run_stage(name: str, function: StageFunction, context: StageContext) -> StageResult:
    """Run, time and record one stage. A fault leaves `stages/<name>.error.json` and is raised on."""
    started = time.monotonic()
    error_file = context.run_dir / "stages" / f"{name}.error.json"
    try:
        context.check_fence()
        inputs = identities_of(context, name)
        with within(context.run_id, name):
            result = function(replace(context, config=context.config.of_stage(name)))
        result.inputs, result.fingerprint = inputs.model_dump(mode="json"), inputs.fingerprint
        result.repetition = context.repetition(name)
        result.seconds = round(time.monotonic() - started, 3)
        result.attempt = context.attempt
        result.save(context)
    except NightrankError as error:
        # The folder may be another's by now: the same run, begun again elsewhere.
        newer = fences.superseded_by(context.lake, context.fence)
        if newer is None or newer[0] != context.run_id:
            write_json(error_file, {"name": name, "exit_code": error.exit_code, **error.to_json()})
        raise
    error_file.unlink()
    return result


@contextmanager
def opened(run_dir: Location, task: str) -> Iterator[StageContext]:
    """The run's context under a living fence: the one its runner gave, that of a `task` of an open run, or one of its own."""
    given = os.environ.get(FENCE)
    context = load_context(run_dir)
    if given and locate(os.environ.get(RUN_DIR, ".")) == run_dir:
        # Not the fence in run.json: the same run, begun again elsewhere, may have written a newer one there.
        yield replace(context, fence=int(given))
        return
    if open_runs.is_open(context.lake, context.run_id):
        with open_runs.task(context.lake, context.run_id, task) as attempt:
            yield replace(context, fence=attempt.fence)
        return
    with leases.held(context.lake, context.run_id) as lease:
        with fences.commit(context.lake, context.run_id, lease.fence):
            write_json(run_dir / "run.json", {**read_json(run_dir / "run.json"), "fence": lease.fence})
        yield replace(context, fence=lease.fence)


def stage_main(name: str, function: StageFunction, argv: list[str] | None = None) -> int:
    """The command line of one stage: `--run-dir LAKE/runs/<id>`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog=name, description=(function.__doc__ or name).splitlines()[0])
    parser.add_argument("--run-dir", type=locate, required=True, help="the run's folder, with run.json in it")
    arguments = parser.parse_args(argv)
    with exit_codes() as outcome, opened(arguments.run_dir, name) as context:
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
        log.error(f"{error.code}: {error.message}" + (f"\n  what to do: {error.remedy}" if error.remedy else ""))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
