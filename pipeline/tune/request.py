"""What `nightrank tune` searches: which run's snapshot, which configuration, which study. Reads only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nightrank import CONF
from nightrank.feature_store.contracts import config as configs
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import ConfigError, NothingToDo, UsageError
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import TextSettings, TrainingSetSettings
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.config import NightConfig, find
from nightrank.pipeline.run.request import finished
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.tune.space import load_space
from nightrank.trainer.tune.spec import StudySpec, differing

DEFAULT_SPACE: Final = CONF / "tune.yaml"


@dataclass(frozen=True)
class TuneRequest:
    """What the command was given."""

    root: Location
    files: list[str]
    """Empty: the configuration of the run is taken."""
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
    named = read_json(run_dir / "stages" / "build_training_set.json")["output"]["snapshot"]["id"]
    if not lake.snapshot(named).exists():
        raise UsageError(f"snapshot {named[:12]} of run {run_dir.name} is no longer kept", "name a newer run with --run")
    snapshot = load_snapshot(lake.snapshot(named))
    if snapshot.rows("train") == 0 or snapshot.rows("valid") == 0:
        raise UsageError(
            f"run {run_dir.name} has {snapshot.rows('train')} training and {snapshot.rows('valid')} validation rows",
            "use --run to name a full run that has both",
        )
    if config.section("trainer", TrainerConfig).fit.epochs == 0:
        raise ConfigError("trainer.fit.epochs is 0: a trial would train nothing", "set the number of epochs for a trial")
    return StudySpec(
        root=str(request.root),
        run_id=run_dir.name,
        date=snapshot.date,
        snapshot=named,
        config=config,
        differing=differing(config.tree, NightConfig().model_dump(mode="json")),
        space=load_space(request.space or DEFAULT_SPACE, config.tree, known_only=request.space is None),
        trials=request.trials,
        timeout_seconds=request.timeout_seconds,
    )


def _run_dir(lake: Lake, run_id: str | None) -> Location:
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


def _config(request: TuneRequest, run: dict[str, Any]) -> Configuration:
    """The files given, else the run's own configuration; then each `--set`. It has to be one the run's snapshot was made by."""
    given = configs.merged([find(name) for name in request.files], request.overrides)
    before = Configuration.from_run(run["config"])
    config = Configuration.of(configs.validate(NightConfig, given if request.files else configs.overlay(before.tree, given)))
    for section, model in (("training_set", TrainingSetSettings), ("text", TextSettings)):
        its, mine = (one.section(section, model).model_dump(mode="json") for one in (before, config))
        different = sorted(key for key, value in its.items() if mine[key] != value)
        if different:
            raise ConfigError(
                f"{section}.{different[0]} is {mine[different[0]]!r}, but run {run['run_id']} made its training set "
                f"with {its[different[0]]!r}",
                "leave out --config to use the run's own configuration, or run `nightrank full` with this one first",
            )
    return config
