"""`nightrank tune`: which run's snapshot, which configuration, which study; then the search as a process of its own."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from feature_store.contracts import config as configs
from feature_store.contracts.errors import BY_CODE, ConfigError, ConflictError, NightrankError, NothingToDo, UsageError
from feature_store.contracts.files import read_json
from feature_store.contracts.lake import Lake
from feature_store.contracts.settings import TextSettings, TrainingSetSettings
from feature_store.contracts.snapshot import load_snapshot
from pipeline.config import CONF, NightConfig, find
from pipeline.run.children import Child, end_processes
from pipeline.run.request import finished
from pipeline.run.signals import caught
from trainer.tune.space import load_space
from trainer.tune.spec import StudySpec, differing

DEFAULT_SPACE: Final = CONF / "tune.yaml"
SHOWN: Final = ("tune: ", "train ", "checkpoint ")
"""How lines begin that a person is shown; all of them are in the study's log."""


@dataclass(frozen=True)
class TuneRequest:
    """What the command was given."""

    root: Path
    files: list[str]
    """None: the configuration of the run."""
    overrides: list[str]
    run_id: str | None = None
    space: Path | None = None
    trials: int = 20
    timeout_seconds: float | None = None


def spec_of(request: TuneRequest) -> StudySpec:
    """The study that is asked for, all of it checked. Reads only.

    NothingToDo without a finished full run; UsageError for a run without validation rows; ConfigError for what was configured.
    """
    lake = Lake(request.root)
    run_dir = _run_dir(lake, request.run_id)
    body = read_json(run_dir / "run.json")
    config = _config(request, body)
    named = read_json(run_dir / "stages" / "build_training_set.json")["extra"]["snapshot"]["id"]
    if not lake.snapshot(named).exists():
        raise UsageError(f"snapshot {named[:12]} of run {run_dir.name} is no longer kept", "name a newer run with --run")
    snapshot = load_snapshot(lake.snapshot(named))
    if snapshot.rows("train") == 0 or snapshot.rows("valid") == 0:
        raise UsageError(
            f"run {run_dir.name} has {snapshot.rows('train')} training and {snapshot.rows('valid')} validation rows",
            "name a full run with both with --run",
        )
    if config["trainer"]["measure"]["epochs"] == 0:
        raise ConfigError("trainer.measure.epochs is 0: a trial would train nothing", "set the epochs a trial may take")
    return StudySpec(
        root=str(request.root),
        run_id=run_dir.name,
        date=snapshot.date,
        snapshot=named,
        config=config,
        differing=differing(config, NightConfig().model_dump(mode="json")),
        space=load_space(request.space or DEFAULT_SPACE, config),
        trials=request.trials,
        timeout_seconds=request.timeout_seconds,
    )


def tune(spec: StudySpec) -> dict[str, Any]:
    """The study's result with `status` and `exit_code`; 3 where it had all of its trials before.

    ConflictError while another process searches the same study; else the search's own fault.
    """
    earlier = result_of(spec)
    if earlier is not None and enough(spec, earlier):
        return {**earlier, "status": "already_done", "exit_code": NothingToDo.exit_code}
    with _alone(spec):
        end_processes(spec.folder)  # of a command that was killed
        spec.error_path.unlink(missing_ok=True)
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
        "begun": len(list(spec.folder.glob("trial-*"))),
        "space": {key: dimension.model_dump(mode="json", exclude_none=True) for key, dimension in spec.space.items()},
        "process": list(_command(spec)),
    }


def enough(spec: StudySpec, result: dict[str, Any]) -> bool:
    return bool(result["trials"] >= spec.trials or result["exhausted"])


def result_of(spec: StudySpec) -> dict[str, Any] | None:
    return dict(read_json(spec.result_path)) if spec.result_path.exists() else None


def _run_dir(lake: Lake, run_id: str | None) -> Path:
    """The folder of the named run, or of the newest full run that is finished."""
    if run_id is not None:
        folder = lake.run_dir(run_id)
        if not (folder / "stages" / "build_training_set.json").exists():
            raise UsageError(f"no run {run_id} with a training set on {lake.root}", "`ls LAKE/runs` lists the runs")
        return folder
    full = [folder for folder in (lake.root / "runs").glob("full-*") if finished(folder)]
    if not full:
        raise NothingToDo(f"no full run has finished on {lake.root}", "run `nightrank full` first; its snapshot is searched on")
    return max(full, key=lambda folder: (read_json(folder / "run.json")["date"], len(folder.name), folder.name))


def _config(request: TuneRequest, run: dict[str, Any]) -> dict[str, Any]:
    """The files given, else the run's own configuration; then each `--set`. It has to be one the run's snapshot was made by."""
    given = configs.merged([find(name) for name in request.files], request.overrides)
    tree = given if request.files else configs.overlay(run["config"], given)
    config: dict[str, Any] = configs.validate(NightConfig, tree).model_dump(mode="json")
    for section, model in (("training_set", TrainingSetSettings), ("text", TextSettings)):
        its = configs.validate(model, run["config"].get(section, {})).model_dump(mode="json")
        different = sorted(key for key, value in its.items() if config[section][key] != value)
        if different:
            raise ConfigError(
                f"{section}.{different[0]} is {config[section][different[0]]!r}, but run {run['run_id']} made its training set "
                f"with {its[different[0]]!r}",
                "leave --config out to search over the run's own configuration, or run `nightrank full` with this one first",
            )
    return config


def _search(spec: StudySpec) -> int:
    """The search's exit code, or 128 + the signal that ended it."""
    with caught() as stop, open(spec.folder / "search.log", "a") as log:

        def listen(line: str) -> None:
            log.write(line)
            log.flush()
            if line.startswith(SHOWN):
                print(line, end="", file=sys.stderr, flush=True)

        child = Child(_command(spec), spec.folder, listen)
        while (code := child.wait(0.2)) is None:
            if stop:
                child.end(spec.folder)
                return 128 + int(stop.number or 0)
        return code


def _command(spec: StudySpec) -> tuple[str, ...]:
    return (sys.executable, "-m", "trainer.tune.run", "--study-dir", str(spec.folder))


def _fault(spec: StudySpec, code: int) -> NightrankError:
    if spec.error_path.exists():
        said = read_json(spec.error_path)
        return BY_CODE.get(said["code"], NightrankError)(said["message"], said["remedy"])
    again = f"the same command goes on where it stood; the log is {spec.folder / 'search.log'}"
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
    spec.folder.mkdir(parents=True, exist_ok=True)
    with open(spec.folder / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"study {spec.study} is being searched by another process", "wait until it has ended, or end it"
            ) from None
        yield
