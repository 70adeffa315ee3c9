"""One client a bucket and process. Credentials come from the usual chain of each cloud, never from the lake."""

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any, Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.storage.local_store import LocalStore
from nightrank.feature_store.contracts.storage.store import Store

RETRY_SECONDS: Final = 60.0
"""A bucket that has been silent for this long counts as unreachable (8)."""
RETRY_VARIABLE: Final = "NIGHTRANK_STORAGE_SECONDS"
LOCAL: Final = LocalStore()


def store_of(scheme: str, bucket: str) -> Store:
    """The disk, or the bucket. ConfigError where obstore is absent or the environment's settings are no numbers."""
    return LOCAL if scheme == "file" else _bucket(scheme, bucket, storage_seconds(), os.getpid())


def storage_seconds(environ: Mapping[str, str] = os.environ) -> float:
    """How long a bucket may be silent. ConfigError where the variable holds no number."""
    given = environ.get(RETRY_VARIABLE)
    try:
        return float(given) if given else RETRY_SECONDS
    except ValueError:
        raise ConfigError(f"{RETRY_VARIABLE} is {given!r}", "give a number of seconds") from None


@cache
def _bucket(scheme: str, bucket: str, seconds: float, process: int) -> Store:
    """`process`: a client's threads do not outlive a fork, so a child makes its own."""
    try:
        from obstore.store import from_url
    except ImportError:
        raise ConfigError(f"{scheme}://{bucket} needs the package obstore", "install nightrank with its dependencies") from None
    from nightrank.feature_store.contracts.storage.object_store import BucketStore

    backoff = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}
    options: dict[str, Any] = {
        "retry_config": {"max_retries": 12, "retry_timeout": timedelta(seconds=seconds), "backoff": backoff},
        "client_options": {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(seconds=max(seconds, 30.0))},
    }
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://") or os.environ.get("AWS_ALLOW_HTTP") == "true":
        options["client_options"]["allow_http"] = True  # a server of one's own, without TLS
    return BucketStore(from_url(f"{scheme}://{bucket}", **options), f"{scheme}://{bucket}")
