"""The only place that builds a SparkSession. What is set here is what every Spark job of nightrank relies on."""

import os
import tempfile
from pathlib import Path
from typing import Final

from pyspark import SparkContext
from pyspark.sql import SparkSession

from nightrank.feature_store.application import current_application, current_root, labelled
from nightrank.feature_store.contracts.secret_settings import check_whole
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.object_storage.jars import jar_properties, with_jars
from nightrank.feature_store.object_storage.spark import SparkAccess, spark_access
from nightrank.feature_store.py_files import SETTING, check_py_files
from nightrank.feature_store.spark_properties import check_arguments, handed_over
from nightrank.feature_store.spark_variables import resolved
from nightrank.feature_store.submitted import is_submitted, master_of, set_python, submitted_jars

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
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
# Half of a short local run went into C2 compiling code that then ran a few times: 189 s of stages against 137 s without.
# With one tier the JVM reserves 48 MB for compiled code, which a night fills; then it dies.
SHORT_LIVED: Final[dict[str, str]] = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
}


def get_session(settings: SparkSettings, app: str | None = None, root: Location | None = None) -> SparkSession:
    """The active session, or a new one with Delta, UTC and the settings above, named `app` or after the run and its stages.

    It can use the storage that the lake `root` is in, by default the lake of the stages that run now; a disk otherwise.

    A new JVM belongs to this process: it reads our end of a pipe and exits when we die, SIGKILL included. It takes the settings
    from a private file, not as arguments. The JVM of spark-submit keeps the master it was given. ConfigError if the settings
    name another, or if `jar_folder` is named and holds no Delta jar; UsageError for a wheel in --py-files. Never imports torch.
    """
    active = SparkSession.getActiveSession()
    if active is not None:
        return labelled(active)
    check_whole({"spark": {"extra": settings.extra}}, "a run's folder")
    master = master_of(settings)
    set_python(settings, local=_is_local(master))
    builder = SparkSession.builder.appName(app or current_application())
    if master is not None:
        builder = builder.master(master)
    options = _options(settings, master, current_root() if root is None else root)
    session = _joined(builder, options) if _has_jvm() else _started(builder, options)
    check_py_files(session.sparkContext.getConf().get(SETTING) or "")
    session.sparkContext.setLogLevel("ERROR")
    return labelled(session)


def _is_local(master: str | None) -> bool:
    return (master or "").startswith("local")


def _has_jvm() -> bool:
    """spark-submit started one, or this process did and stopped its session."""
    return is_submitted() or SparkContext._gateway is not None


def _joined(builder: SparkSession.Builder, options: dict[str, str]) -> SparkSession:
    if is_submitted():
        options = with_jars(options, submitted_jars())
    for key, value in options.items():
        builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    return session


def _started(builder: SparkSession.Builder, options: dict[str, str]) -> SparkSession:
    check_arguments(options)
    with handed_over(options):
        session: SparkSession = builder.getOrCreate()
    return session


def _options(settings: SparkSettings, master: str | None, root: Location | None) -> dict[str, str]:
    local = _is_local(master)
    access = SparkAccess() if root is None else spark_access(root)
    shown = settings.ui if settings.ui is not None else not local
    return {
        **FIXED,
        "spark.ui.enabled": str(shown).lower(),
        **(SHORT_LIVED if local and settings.quick_start else {}),
        "spark.driver.memory": settings.driver_memory,
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.sql.warehouse.dir": str(Path(tempfile.gettempdir()) / f"nightrank-warehouse-{os.getuid()}"),
        **access.properties,
        **resolved(settings.extra, master),
        **jar_properties(settings, access),
    }
