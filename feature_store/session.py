"""The only place that builds a SparkSession. What is set here is what every Spark job of nightrank relies on."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from pyspark import SparkContext
from pyspark.sql import SparkSession

from nightrank import IMPORT_PATH
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.secret_settings import check_whole
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.spark_properties import check_arguments, handed_over

FIXED: Final[dict[str, str]] = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.adaptive.enabled": "true",
    # A file that vanished is an error, not fewer rows.
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Measured: 50 state partitions for a small log cost more than the log (shared/design/stack.md).
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
# Half of a short local run went into C2 compiling code that then ran a few times: 189 s of stages against 137 s without.
# With one tier the JVM reserves 48 MB for compiled code, which a night fills; then it dies.
SHORT_LIVED: Final[dict[str, str]] = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
}


def get_session(settings: SparkSettings, app: str = "nightrank") -> SparkSession:
    """The active session, or a new one with Delta, UTC and the settings above.

    A new JVM belongs to this process: it reads our end of a pipe and exits when we die, SIGKILL included. It takes the settings
    from a private file, not as arguments. ConfigError if `jar_folder` is named and holds no Delta jar. Never imports torch.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return active
    check_whole({"spark": {"extra": settings.extra}}, "a run's folder")
    _python_environment(settings)
    builder = SparkSession.builder.appName(app)
    if settings.master is not None:
        builder = builder.master(settings.master)
    session = _joined(builder, _options(settings)) if _has_jvm() else _started(builder, _options(settings))
    session.sparkContext.setLogLevel("ERROR")
    return session


def _has_jvm() -> bool:
    """spark-submit started one, or this process did and stopped its session."""
    return "PYSPARK_GATEWAY_PORT" in os.environ or SparkContext._gateway is not None


def _joined(builder: SparkSession.Builder, options: dict[str, str]) -> SparkSession:
    for key, value in options.items():
        builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    return session


def _started(builder: SparkSession.Builder, options: dict[str, str]) -> SparkSession:
    check_arguments(options)
    with handed_over(options):
        session: SparkSession = builder.getOrCreate()
    return session


def _options(settings: SparkSettings) -> dict[str, str]:
    local = (settings.master or "").startswith("local")
    return {
        **FIXED,
        **(SHORT_LIVED if local and settings.quick_start else {}),
        "spark.driver.memory": settings.driver_memory,
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir()) / f"nightrank-warehouse-{os.getuid()}"),
        **_jars(settings),
        **settings.extra,
    }


def _jars(settings: SparkSettings) -> dict[str, str]:
    if settings.jar_folder is None:
        return {"spark.jars.packages": ",".join(settings.packages)} if settings.packages else {}
    jars = sorted(Path(settings.jar_folder).glob("*.jar"))
    if not any(jar.name.startswith("delta-spark") for jar in jars):
        raise ConfigError(
            f"spark.jar_folder {settings.jar_folder} holds no delta-spark jar",
            "put delta-spark, delta-storage and antlr4-runtime jars there, or unset it to resolve spark.packages",
        )
    return {"spark.jars": ",".join(map(str, jars))}


def _python_environment(settings: SparkSettings) -> None:
    """Executors run this Python and see this project, wherever the command was started from."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if (settings.master or "").startswith("local"):
        # A machine whose host name does not resolve still binds. Not on a cluster: its executors must reach the driver.
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    known = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    if str(IMPORT_PATH) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(IMPORT_PATH), *known])
