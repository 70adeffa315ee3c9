"""One client for each bucket and process. Credentials come from the usual chain of each cloud, never from the lake."""

import os
from datetime import timedelta
from functools import cache
from typing import Any, Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.storage import patience
from nightrank.feature_store.contracts.storage.local_store import LocalStore
from nightrank.feature_store.contracts.storage.store import Store

LOCAL: Final = LocalStore()


def store_of(scheme: str, bucket: str) -> Store:
    """The disk, the bucket or HDFS. ConfigError where its library is absent or the environment's settings are no numbers."""
    if scheme == "file":
        return LOCAL
    return (_hdfs if scheme == "hdfs" else _bucket)(scheme, bucket, patience.storage_seconds(), os.getpid())


@cache
def _bucket(scheme: str, bucket: str, seconds: float, process: int) -> Store:
    """`process`: a client's threads do not outlive a fork, so a child makes its own."""
    try:
        from obstore.store import from_url
    except ImportError:
        raise ConfigError(f"{scheme}://{bucket} needs the package obstore", "install nightrank with its dependencies") from None
    from nightrank.feature_store.contracts.storage.object_store import BucketStore

    address = f"{scheme}://{bucket}"
    patient, hasty = (from_url(address, **_options(given)) for given in (seconds, min(seconds, patience.HASTY_SECONDS)))
    return BucketStore(patient, hasty, address, seconds)


@cache
def _hdfs(scheme: str, nodes: str, seconds: float, process: int) -> Store:
    """`nodes` is a host and port, or a name that hdfs-site.xml knows."""
    address = f"{scheme}://{nodes}"
    try:
        from hdfs_native import Client
    except ImportError:
        raise ConfigError(f"{address} needs the package hdfs-native", "pip install 'nightrank[hdfs]'") from None
    from nightrank.feature_store.contracts.storage.hdfs_calls import HdfsCalls
    from nightrank.feature_store.contracts.storage.hdfs_errors import explained
    from nightrank.feature_store.contracts.storage.hdfs_store import HdfsStore

    with explained(address, "its top"):
        client = Client(address, dict(patience.OF_HDFS))
    return HdfsStore(HdfsCalls(client, address, seconds))


def _options(seconds: float) -> dict[str, Any]:
    """Time is the bound, and not a number of attempts."""
    backoff = {
        "init_backoff": timedelta(seconds=patience.FIRST_PAUSE_SECONDS),
        "max_backoff": timedelta(seconds=min(patience.LONGEST_PAUSE_SECONDS, seconds)),
        "base": patience.GROWTH,
    }
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=patience.answer_seconds(seconds)),
    }
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://") or os.environ.get("AWS_ALLOW_HTTP") == "true":
        client["allow_http"] = True  # a server of one's own, without TLS
    retries = {"max_retries": patience.UNBOUNDED, "retry_timeout": timedelta(seconds=seconds), "backoff": backoff}
    return {"retry_config": retries, "client_options": client}
