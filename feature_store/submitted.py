"""What whoever starts Spark decides over our defaults: the master that spark-submit was given, and the executors' Python."""

import os
import sys
from typing import Final

from pyspark import SparkConf, SparkContext

from nightrank import IMPORT_PATH
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.settings import SparkSettings

GATEWAY: Final = "PYSPARK_GATEWAY_PORT"
"""In the environment of a Python process that spark-submit started."""
PYTHON: Final = "PYSPARK_PYTHON"
DEFAULT_MASTER: Final = SparkSettings().master


def is_submitted() -> bool:
    """spark-submit started this process, and the JVM before it."""
    return GATEWAY in os.environ


def master_of(settings: SparkSettings) -> str | None:
    """spark-submit's master where it started us, else the setting. ConfigError if a setting that is not the default names
    another one than spark-submit."""
    if not is_submitted():
        return settings.master
    SparkContext._ensure_initialized()  # now a SparkConf holds what the JVM was started with
    given: str | None = SparkConf().get("spark.master", None)
    if given is None or settings.master in (None, given):
        return given or settings.master
    if settings.master != DEFAULT_MASTER:
        raise ConfigError(
            f"spark.master is {settings.master} in the configuration and {given} by spark-submit",
            "give the same master in both, or set spark.master=null to take spark-submit's",
        )
    log.info(f"master {given} of spark-submit instead of the default {settings.master}")
    return given


def submitted_jars() -> list[str]:
    """The jars that spark-submit was given, with those that it made of packages: executors fetch these."""
    SparkContext._ensure_initialized()
    given: str = SparkConf().get("spark.jars", "") or ""
    return [jar for jar in given.split(",") if jar]


def set_python(settings: SparkSettings, *, local: bool) -> None:
    """Executors run the Python that `spark.pyspark.python` or PYSPARK_PYTHON names, else this one, and see this project,
    wherever the command was started from."""
    os.environ[PYTHON] = settings.extra.get("spark.pyspark.python") or os.environ.get(PYTHON) or sys.executable
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if local:
        # A machine whose host name does not resolve still binds. Not on a cluster: its executors must reach the driver.
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    if str(IMPORT_PATH) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(IMPORT_PATH), *known])
