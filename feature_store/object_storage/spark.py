"""The packages and properties with which Spark and Delta read and write a lake in a bucket. Strings only, no engine.

S3 was run, with Delta tables of several writers, and HDFS, which needs nothing. For `gs` and `abfss` the connectors resolve and
load; neither was run against a service. Credentials are never among the properties: each connector has its usual chain.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.storage.patience import storage_seconds
from nightrank.feature_store.object_storage.addresses import endpoint, region

LOG_STORE_JAR: Final = Path(__file__).with_name("log_store.jar")
"""Compiled from `java/` by `make setup`; in the wheel."""
S3_PACKAGES: Final = (
    "org.apache.hadoop:hadoop-aws:3.4.1",
    "org.apache.spark:spark-hadoop-cloud_2.13:4.0.1",
    *(f"software.amazon.awssdk:{module}:2.29.52" for module in ("s3", "s3-transfer-manager", "sts")),
)
"""Hadoop's is the version inside Spark 4.0. Of the SDK three modules (9 MB) instead of its bundle (641 MB)."""
GCS_PACKAGES: Final = ("com.google.cloud.bigdataoss:gcs-connector:hadoop3-2.2.26",)
AZURE_PACKAGES: Final = ("org.apache.hadoop:hadoop-azure:3.4.1",)
IN_SPARK: Final = (
    *(
        "io.netty:*",
        "org.slf4j:*",
        "org.apache.httpcomponents:*",
        "commons-codec:*",
        "commons-logging:*",
        "org.eclipse.jetty:*",
    ),
    *("com.fasterxml.jackson.core:*", "com.fasterxml.jackson.dataformat:*", "joda-time:*", "org.apache.hadoop:hadoop-client-*"),
)
"""What Spark has itself, in the versions that it was tested with."""
OTHER_CLOUDS: Final = (
    *("software.amazon.awssdk:bundle", "org.apache.hadoop:hadoop-cloud-storage", "org.apache.hadoop:hadoop-azure"),
    *("com.google.cloud.bigdataoss:gcs-connector", "com.squareup.okhttp3:*", "com.squareup.okio:*"),
)
"""spark-hadoop-cloud asks for every cloud's connector."""
CONNECT_SECONDS: Final = 5
ATTEMPTS: Final = 5
"""How often the SDK sends a request, with pauses of its own, before S3A counts one failure."""
PAUSE_SECONDS: Final = 0.5
THROTTLED_SECONDS: Final = 0.1
"""S3A waits so long before its first retry, and twice as long before each further one."""


@dataclass(frozen=True)
class SparkAccess:
    """What a session needs beyond what it needs for a disk."""

    packages: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    jars: tuple[Path, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    connector: str = ""
    """How the file name of the connector's jar begins."""


def spark_access(place: Location, environ: Mapping[str, str] = os.environ) -> SparkAccess:
    """For the storage that `place` is in; nothing for a disk and for HDFS, which Spark and Delta know.

    ConfigError where the log store for S3 was not built.
    """
    if place.is_local or place.scheme == "hdfs":
        return SparkAccess()
    if place.scheme == "gs":
        return SparkAccess(GCS_PACKAGES, IN_SPARK, properties=GCS, connector="gcs-connector")
    if place.scheme == "abfss":
        return SparkAccess(AZURE_PACKAGES, IN_SPARK, properties=AZURE, connector="hadoop-azure")
    if not LOG_STORE_JAR.exists():
        raise ConfigError(
            f"the log store for tables in {place.scheme}://{place.bucket} is not built ({LOG_STORE_JAR.name} is absent)",
            "run `make setup` on a machine with a JDK (javac), or install the wheel, which holds it",
        )
    return SparkAccess(S3_PACKAGES, (*OTHER_CLOUDS, *IN_SPARK), (LOG_STORE_JAR,), _s3(environ), "hadoop-aws")


GCS: Final = {
    "spark.delta.logStore.gs.impl": "io.delta.storage.GCSLogStore",
    "spark.hadoop.fs.gs.impl": "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem",
    "spark.hadoop.fs.AbstractFileSystem.gs.impl": "com.google.cloud.hadoop.fs.gcs.GoogleHadoopFS",
    "spark.hadoop.fs.gs.auth.type": "APPLICATION_DEFAULT",
}
AZURE: Final = {"spark.delta.logStore.abfss.impl": "io.delta.storage.AzureLogStore"}
"""The connector has no chain of its own: `spark.extra` names its OAuth provider (`fs.azure.account.auth.type` and so on)."""
COMMITTERS: Final = {
    "spark.hadoop.fs.s3a.committer.name": "magic",
    "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
    "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
}
"""Plain Parquet that jobs write beside tables: uploads that are completed with the job, where Hadoop's default copies twice."""


def _s3(environ: Mapping[str, str]) -> dict[str, str]:
    seconds = storage_seconds(environ)
    given = {
        "aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
        "attempts.maximum": str(max(2, min(ATTEMPTS, round(math.log2(seconds + 1))))),
        "connection.establish.timeout": f"{CONNECT_SECONDS}s",
        "retry.interval": f"{PAUSE_SECONDS * 1000:.0f}ms",
        "retry.limit": str(_retries(seconds, PAUSE_SECONDS)),
        "retry.throttle.interval": f"{THROTTLED_SECONDS * 1000:.0f}ms",
        "retry.throttle.limit": str(_retries(seconds, THROTTLED_SECONDS)),
        **_server(environ),
    }
    hadoop = {f"spark.hadoop.fs.s3a.{name}": value for name, value in given.items()}
    return {**hadoop, **COMMITTERS, "spark.delta.logStore.s3a.impl": "nightrank.delta.ConditionalPutLogStore"}


def _server(environ: Mapping[str, str]) -> dict[str, str]:
    """A server that is not Amazon's has no host name for each bucket."""
    found: dict[str, str] = {}
    if (named := region(environ)) is not None:
        found["endpoint.region"] = named
    if (address := endpoint(environ)) is not None:
        found |= {"endpoint": address, "path.style.access": "true"}
        found["connection.ssl.enabled"] = str(not address.startswith("http://")).lower()
    return found


def _retries(seconds: float, first: float) -> int:
    """How many pauses, each twice the one before, fill those seconds."""
    return max(1, round(math.log2(seconds / first + 1)))
