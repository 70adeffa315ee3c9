"""Do Spark, Delta and Scala belong together, and does any setting lose data silently?"""

import importlib.metadata
import re
import shlex
from itertools import pairwise
from pathlib import Path

from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine

LOSES_DATA = {
    "spark.sql.files.ignoreMissingFiles": "missing files are skipped: a table reads as shorter than it is",
    "spark.sql.files.ignoreCorruptFiles": "broken files are skipped",
    "spark.files.ignoreMissingFiles": "missing files are skipped: a table reads as shorter than it is",
    "spark.files.ignoreCorruptFiles": "broken files are skipped",
}
RISKS_DATA = {
    ("spark.databricks.delta.retentionDurationCheck.enabled", "false"): "VACUUM may delete files that a live version names",
    ("spark.databricks.delta.schema.autoMerge.enabled", "true"): "a changed column enters a table unnoticed",
    ("spark.sql.ansi.enabled", "false"): "overflows and bad casts turn into nulls",
    ("spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version", "2"): "a failed job leaves part of its files",
}


def check_trio(machine: Machine, settings: DataSettings) -> list[Finding]:
    """Wheel, jars and coordinates: one Spark, one Scala, one Delta."""
    home = machine.spark_home()
    core = _jar_version(home, r"spark-core_([\d.]+)-([\d.]+)\.jar") if home else None
    if core is None:
        where = home or "nowhere"
        return [Finding("spark_delta_scala", "fail", f"no spark-core jar under {where}", "unset SPARK_HOME, then `make setup`")]
    scala, spark = core
    problems: list[str] = []
    wheel = _installed("pyspark")
    if wheel != spark:
        problems.append(f"pyspark {wheel} would drive the Spark {spark} of {home}: unset SPARK_HOME")
    delta = _installed("delta-spark")
    problems += _delta_problems(settings, spark, scala, delta)
    seen = f"Spark {spark}, Scala {scala}, Delta {delta} ({_source_of_jars(settings)})"
    if problems:
        remedy = "use the versions of docs/stack.md; spark.packages holds the coordinates"
        return [Finding("spark_delta_scala", "fail", f"{seen}; {'; '.join(problems)}", remedy)]
    return [Finding("spark_delta_scala", "ok", seen)]


def check_data_loss(machine: Machine, settings: DataSettings) -> list[Finding]:
    """Settings under which Spark reads less than is there, wherever they are made."""
    bad: list[str] = []
    risky: list[str] = []
    for where, key, value in spark_settings(machine, settings):
        if key in LOSES_DATA and value.lower() == "true":
            bad.append(f"{key}=true in {where}: {LOSES_DATA[key]}")
        elif (why := RISKS_DATA.get((key, value.lower()))) is not None:
            risky.append(f"{key}={value} in {where}: {why}")
    if bad:
        return [Finding("settings_that_lose_data", "fail", "; ".join(bad + risky), "remove the setting")]
    if risky:
        return [Finding("settings_that_lose_data", "warn", "; ".join(risky), "remove the setting unless it is intended")]
    return [Finding("settings_that_lose_data", "ok", "none in spark-defaults.conf, PYSPARK_SUBMIT_ARGS or the configuration")]


def spark_settings(machine: Machine, settings: DataSettings) -> list[tuple[str, str, str]]:
    """(where, key, value) of every Spark setting that will be in force, weakest first."""
    found: list[tuple[str, str, str]] = []
    home = machine.spark_home()
    conf = machine.environ.get("SPARK_CONF_DIR") or (str(home / "conf") if home else None)
    defaults = Path(conf, "spark-defaults.conf") if conf else None
    if defaults is not None and defaults.is_file():
        found += [(str(defaults), key, value) for key, value in _properties(defaults.read_text())]
    arguments = shlex.split(machine.environ.get("PYSPARK_SUBMIT_ARGS", ""))
    for flag, text in pairwise(arguments):
        if flag in ("--conf", "-c") and "=" in text:
            key, _, value = text.partition("=")
            found.append(("PYSPARK_SUBMIT_ARGS", key.strip(), value.strip()))
    return found + [("the configuration (spark.extra)", key, value) for key, value in settings.spark.extra.items()]


def _properties(text: str) -> list[tuple[str, str]]:
    """spark-defaults.conf: key and value parted by spaces, '=' or ':'; '#' starts a comment line."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (re.split(r"\s*[=:\s]\s*", line, maxsplit=1) for line in lines if line and not line.startswith("#"))
    return [(pair[0], pair[1].strip()) for pair in pairs if len(pair) == 2]


def _delta_problems(settings: DataSettings, spark: str, scala: str, delta: str) -> list[str]:
    if _minor(delta) != _minor(spark):
        return [f"Delta {delta} is not made for Spark {_minor(spark)}"]
    if settings.spark.jar_folder:
        jar = _jar_version(Path(settings.spark.jar_folder), r"delta-spark_([\d.]+)-([\d.]+)\.jar", inside="")
        wanted = (scala, delta)
        return [] if jar == wanted else [f"{settings.spark.jar_folder} holds delta-spark {jar}, wanted {wanted}"]
    named = [re.fullmatch(r"io\.delta:delta-spark_([\d.]+):([\d.]+)", package) for package in settings.spark.packages]
    match = next((m for m in named if m), None)
    if match is None:
        return ["spark.packages names no io.delta:delta-spark"]
    problems = [] if match.group(1) == scala else [f"the package is for Scala {match.group(1)}, Spark's jars are {scala}"]
    return problems + ([] if match.group(2) == delta else [f"the package is {match.group(2)}, the wheel {delta}"])


def _jar_version(folder: Path, pattern: str, inside: str = "jars") -> tuple[str, str] | None:
    for jar in sorted((folder / inside).glob("*.jar")):
        if match := re.fullmatch(pattern, jar.name):
            return match.group(1), match.group(2)
    return None


def _source_of_jars(settings: DataSettings) -> str:
    return f"jars in {settings.spark.jar_folder}" if settings.spark.jar_folder else ", ".join(settings.spark.packages)


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
