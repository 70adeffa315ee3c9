"""How a Spark job is started: as a stage of a run, or alone by spark-submit with a run of its own."""

import argparse
import os
from datetime import date
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.application import application
from nightrank.feature_store.contracts import config as configs
from nightrank.feature_store.contracts.errors import ConfigError, UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.lake_calendar import check_timezone, with_lake_timezone
from nightrank.feature_store.contracts.secret_settings import environment_of
from nightrank.feature_store.contracts.secrets import masked
from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.feature_store.contracts.stage import StageContext, StageFunction, exit_codes, opened, run_stage
from nightrank.feature_store.contracts.storage import Location, locate
from nightrank.spark_jobs.driver.job import as_job
from nightrank.spark_jobs.driver.sections import DataSections

OTHERS: Final = frozenset({"trainer", "ctr", "evaluation", "gate", "retention", "tune", "operations"})
"""Sections of the whole configuration that no Spark job reads."""


def main(name: str, function: StageFunction, argv: list[str] | None = None) -> int:
    """Runs the stage for `--run-dir`, or for `--root` and `--date` in a run made for it; returns the exit code."""
    arguments = _parser(name, function).parse_args(argv)
    with (
        exit_codes() as outcome,
        opened(arguments.run_dir or _own_run(name, arguments), name) as context,
        application(context, [name]),
    ):
        run_stage(name, as_job(name, function), context)
    return outcome[0]


def settings(context: StageContext) -> DataSections:
    """The sections that data jobs read. ConfigError for another time zone than that of the lake's days."""
    found = DataSections(context.config)
    check_timezone(found.calendar.timezone, context.lake)
    return found


def data_settings(tree: dict[str, Any]) -> DataSettings:
    """The door of a job that is started alone. ConfigError for a section or a value that does not fit."""
    known = set(DataSettings.model_fields)
    if unknown := sorted(set(tree) - known - OTHERS):
        raise ConfigError(
            f"configuration: unknown section {', '.join(unknown)}", f"sections are {', '.join(sorted(known | OTHERS))}"
        )
    return configs.validate(DataSettings, {key: value for key, value in tree.items() if key in known})


def _parser(name: str, function: StageFunction) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=(function.__doc__ or name).splitlines()[0])
    parser.add_argument("--run-dir", type=locate, help="a run's folder, with run.json in it")
    parser.add_argument("--root", type=locate, help="the lake, for a run of this stage alone")
    parser.add_argument("--date", type=date.fromisoformat, help="the run's date")
    parser.add_argument("--kind", choices=("full", "nightly"), default="nightly")
    parser.add_argument("--config", type=Path, action="append", default=[], help="YAML file; may be repeated")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    return parser


def _own_run(name: str, arguments: argparse.Namespace) -> Location:
    """The folder of a run of this stage alone; its fence is that of the lease which `opened` takes for it."""
    if arguments.root is None or arguments.date is None:
        raise UsageError(f"{name} needs --run-dir, or --root and --date", "give a run's folder, or a lake and a date")
    root: Location = arguments.root
    tree = with_lake_timezone(configs.merged(arguments.config, arguments.overrides), Lake(root))
    run_id = f"stage-{name}-{arguments.date.isoformat()}"
    run_dir = Lake(root).run_dir(run_id)
    earlier = run_dir / "run.json"
    body = {
        "root": str(root),
        "run_id": run_id,
        "kind": arguments.kind,
        "date": arguments.date.isoformat(),
        "seed": data_settings(tree).seed,
        "fence": 0,
        "config": masked(tree),
        "attempt": read_json(earlier)["attempt"] + 1 if earlier.exists() else 1,
    }
    write_json(run_dir / "run.json", body)
    os.environ.update(environment_of(tree))  # for `opened`, in this process
    return run_dir
