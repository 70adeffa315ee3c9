"""Is one Python, with one set of packages, on both sides of Spark, and do those packages fit together?"""

import importlib
import importlib.metadata
import json
import shutil
from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.version import Version

from nightrank.feature_store.contracts.settings import DataSettings
from nightrank.pipeline.doctor.finding import Finding
from nightrank.pipeline.doctor.machine import Machine
from nightrank.pipeline.doctor.spark import spark_settings

SHARED = ("pyspark", "pyarrow", "numpy", "pandas", "torch", "safetensors", "transformers", "pydantic")
"""Packages whose values or code cross from the driver to an executor."""
COMPILED = ("nightrank.trainer.data._native", "nightrank.trainer.data._parquet")
PYARROW_FROM, PYARROW_BELOW = Version("12"), Version("15")

PROBE = f"""
import importlib.metadata as m, json, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
print(json.dumps({{"python": "%d.%d.%d" % sys.version_info[:3], **{{n: version(n) for n in {json.dumps(SHARED)}}}}}))
"""


def check_interpreters(machine: Machine, settings: DataSettings) -> list[Finding]:
    """Driver and executors: the same Python and the same packages. Executors of a cluster can only be asked on the cluster."""
    driver, executor = _interpreters(machine, settings)
    facts = {}
    for role, python in (("driver", driver), ("executor", executor)):
        found = shutil.which(python, path=machine.environ.get("PATH"))
        answer, failure = machine.ask_python(found or python, PROBE)
        if answer is None:
            remedy = "set PYSPARK_PYTHON to the environment's python, or unset it"
            return [Finding("driver_and_executor_python", "fail", f"the {role}'s {python} {failure}", remedy)]
        facts[role] = answer
    apart = [
        f"{name}: driver {facts['driver'][name]}, executor {facts['executor'][name]}"
        for name in facts["driver"]
        if facts["driver"][name] != facts["executor"][name]
    ]
    if apart:
        remedy = f"point PYSPARK_PYTHON (or spark.pyspark.python) at {driver}, or install the same lock there"
        return [Finding("driver_and_executor_python", "fail", "; ".join(apart), remedy)]
    seen = f"Python {facts['driver']['python']} and {len(SHARED)} shared packages are the same on both sides"
    master = settings.spark.master
    if master is None or not master.startswith("local"):
        remedy = "`nightrank doctor --cluster` asks the executors themselves"
        return [
            Finding("driver_and_executor_python", "warn", f"{seen} of this machine; the executors run under {master}", remedy)
        ]
    return [Finding("driver_and_executor_python", "ok", seen)]


def check_packages() -> list[Finding]:
    """Every requirement of nightrank is met by what is installed."""
    try:
        requirements = importlib.metadata.requires("nightrank") or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding("packages", "warn", "nightrank itself is not installed in this Python", "run `make setup`")]
    wanted = [Requirement(text) for text in requirements]
    needed = [item for item in wanted if item.marker is None or item.marker.evaluate({"extra": ""})]
    faults = [fault for item in needed if (fault := _fault(item)) is not None]
    if faults:
        return [Finding("packages", "fail", "; ".join(faults), "run `make setup`")]
    return [Finding("packages", "ok", f"{len(needed)} requirements met")]


def check_pyarrow(version: str | None = None) -> list[Finding]:
    """pyarrow within the range Petastorm 0.13.1 reads on: 15 raises in make_batch_reader, 16 cannot be imported by it."""
    if version is None:
        try:
            version = importlib.metadata.version("pyarrow")
        except importlib.metadata.PackageNotFoundError:
            return [Finding("pyarrow_for_petastorm", "fail", "pyarrow is not installed", "run `make setup`")]
    if not PYARROW_FROM <= Version(version) < PYARROW_BELOW:
        seen = f"pyarrow {version}; Petastorm reads on 12, 13 and 14"
        return [Finding("pyarrow_for_petastorm", "fail", seen, "run `make setup`: the lock holds 14.0.2")]
    return [Finding("pyarrow_for_petastorm", "ok", f"pyarrow {version} (12 to 14)")]


def check_compiled(parts: Sequence[str] = COMPILED) -> list[Finding]:
    """The reader's compiled parts are beside their source, built for this Python, and load with this pyarrow."""
    for part in ("pyarrow.parquet", *parts):  # it brings the libraries that a part may be linked against
        try:
            importlib.import_module(part)
        except ImportError as error:
            return [Finding("compiled_reader", "fail", f"{part} does not load: {error}", "run `make setup`")]
    return [Finding("compiled_reader", "ok", " and ".join(parts))]


def _interpreters(machine: Machine, settings: DataSettings) -> tuple[str, str]:
    """(driver, executor); a setting wins over the variable; unset means the Python that starts the session."""
    conf = {key: value for _, key, value in spark_settings(machine, settings)}
    executor = conf.get("spark.pyspark.python") or machine.environ.get("PYSPARK_PYTHON") or machine.python
    driver = conf.get("spark.pyspark.driver.python") or machine.environ.get("PYSPARK_DRIVER_PYTHON") or machine.python
    return driver, executor


def _fault(requirement: Requirement) -> str | None:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is missing"
    return None if requirement.specifier.contains(version, prereleases=True) else f"{requirement} wanted, {version} installed"
