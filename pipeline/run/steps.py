"""What is started for which stages: one process each, but neighbouring Spark stages share a session when Spark is local."""

import importlib.util
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import DependencyUnreachable
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.pipeline.stages import Stage


@dataclass(frozen=True)
class Step:
    """One process and the stages it goes through, in order."""

    stages: tuple[Stage, ...]
    command: tuple[str, ...]


def steps_of(todo: Sequence[Stage], run_dir: Path, config: Configuration) -> list[Step]:
    """The processes that take `todo` in order."""
    spark = config.section("spark", SparkSettings)
    local = (spark.master or "").startswith("local")
    steps: list[Step] = []
    for engine, group in groupby(todo, key=lambda stage: stage.engine):
        stages = tuple(group)
        if engine == "spark" and local and len(stages) > 1:
            steps.append(Step(stages, _host(stages, run_dir)))
        elif engine == "spark" and not local:
            steps += [Step((stage,), _submitted(stage, run_dir, spark)) for stage in stages]
        else:
            steps += [Step((stage,), _module(stage, run_dir)) for stage in stages]
    return steps


def _module(stage: Stage, run_dir: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", stage.module, "--run-dir", str(run_dir))


def _host(stages: tuple[Stage, ...], run_dir: Path) -> tuple[str, ...]:
    listed = ",".join(stage.name for stage in stages)
    return (sys.executable, "-m", "nightrank.spark_jobs.driver.host", "--run-dir", str(run_dir), "--stages", listed)


def _submitted(stage: Stage, run_dir: Path, spark: SparkSettings) -> tuple[str, ...]:
    """spark-submit of the job's file, with what can only be said on its command line."""
    submit = shutil.which("spark-submit", path=str(Path(sys.executable).parent)) or shutil.which("spark-submit")
    if submit is None:
        raise DependencyUnreachable("spark-submit is not on the PATH", "install pyspark, or set spark.master=local[2]")
    options = ["--driver-memory", spark.driver_memory]
    if spark.master:
        options += ["--master", spark.master]
    if spark.jar_folder:
        options += ["--jars", ",".join(str(path) for path in sorted(Path(spark.jar_folder).glob("*.jar")))]
    elif spark.packages:
        options += ["--packages", ",".join(spark.packages)]
    return (submit, *options, _file_of(stage.module), "--run-dir", str(run_dir))


def _file_of(module: str) -> str:
    spec = importlib.util.find_spec(module)  # finds, does not run, the job
    if spec is None or spec.origin is None:
        raise DependencyUnreachable(f"stage module {module} is not installed", "install nightrank whole")
    return spec.origin
