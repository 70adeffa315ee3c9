"""What is started for which stages: one process each, but neighbouring Spark stages share a session unless asked otherwise."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.errors import DependencyUnreachable
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.object_storage.jars import EXCLUDES, JARS, PACKAGES, jar_properties
from nightrank.feature_store.object_storage.spark import SparkAccess, spark_access
from nightrank.feature_store.spark_properties import FLAG, WITH_DEFAULTS, check_arguments, private_file
from nightrank.feature_store.spark_variables import resolved
from nightrank.pipeline.stages import Stage

HOST: Final = "nightrank.spark_jobs.driver.host"
"""The program of several stages in one session."""
FLAGS: Final = {"--jars": JARS, "--packages": PACKAGES, "--exclude-packages": EXCLUDES}


@dataclass(frozen=True)
class Step:
    """One process and the stages it goes through, in order."""

    stages: tuple[Stage, ...]
    command: tuple[str, ...]
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What spark-submit takes from a file: it may hold secrets, so no command line shows it."""

    @contextmanager
    def started_by(self) -> Iterator[tuple[str, ...]]:
        """The command to start. Inside, the file of `properties` stands, and only this user can read it."""
        if not self.properties:
            yield self.command
            return
        with private_file(self.properties) as path:
            submit, *rest = self.command
            yield (submit, FLAG, str(path), WITH_DEFAULTS, *rest)


def steps_of(todo: Sequence[Stage], run_dir: Location, config: Configuration) -> list[Step]:
    """The processes that take `todo` in order. ConfigError for a secret that Spark would put on a command line."""
    spark = config.section("spark", SparkSettings)
    local = (spark.master or "").startswith("local")
    steps: list[Step] = []
    for stages in _groups(todo, shared=spark.application == "shared"):
        program, arguments = _program(stages, run_dir)
        if stages[0].engine == "spark" and not local:
            access = spark_access(run_dir)
            jars = jar_properties(spark, access)
            steps.append(Step(stages, (*_submit(spark, jars), _file_of(program), *arguments), _properties(spark, access, jars)))
        else:
            steps.append(Step(stages, (sys.executable, "-m", program, *arguments)))
    return steps


def _groups(todo: Sequence[Stage], *, shared: bool) -> Iterator[tuple[Stage, ...]]:
    """Stages that have one process: neighbours on Spark if they share an application, else each alone."""
    for engine, group in groupby(todo, key=lambda stage: stage.engine):
        stages = tuple(group)
        if engine == "spark" and shared:
            yield stages
        else:
            yield from ((stage,) for stage in stages)


def _program(stages: tuple[Stage, ...], run_dir: Location) -> tuple[str, tuple[str, ...]]:
    """Module and arguments: the stage itself, or the host of several."""
    if len(stages) == 1:
        return stages[0].module, ("--run-dir", str(run_dir))
    return HOST, ("--run-dir", str(run_dir), "--stages", ",".join(stage.name for stage in stages))


def _submit(spark: SparkSettings, jars: Mapping[str, str]) -> tuple[str, ...]:
    """spark-submit with the settings that have a key of their own; where `spark.extra` names one too, that is taken."""
    submit = shutil.which("spark-submit", path=str(Path(sys.executable).parent)) or shutil.which("spark-submit")
    if submit is None:
        raise DependencyUnreachable("spark-submit is not on the PATH", "install pyspark, or set spark.master=local[2]")
    options = [] if "spark.driver.memory" in spark.extra else ["--driver-memory", spark.driver_memory]
    if spark.master:
        options += ["--master", spark.master]
    for option, name in FLAGS.items():
        if name in jars and name not in spark.extra:
            options += [option, jars[name]]
    return (submit, *options)


def _properties(spark: SparkSettings, access: SparkAccess, jars: Mapping[str, str]) -> dict[str, str]:
    """All of `spark.extra`, and what the lake's storage needs: executors, queues, archives and the JVM's options are decided
    before our Python starts.

    The driver keeps this Python where `spark.pyspark.python` names another, such as one that only executors unpack.
    """
    extra = resolved(spark.extra, spark.master)
    check_arguments(extra)
    return {"spark.pyspark.driver.python": sys.executable, **access.properties, **extra, **jars}


def _file_of(module: str) -> str:
    spec = importlib.util.find_spec(module)  # finds, does not run, the job
    if spec is None or spec.origin is None:
        raise DependencyUnreachable(f"stage module {module} is not installed", "install nightrank whole")
    return spec.origin
