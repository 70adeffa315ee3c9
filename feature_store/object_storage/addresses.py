"""A place as each library wants it named, and where the environment says a bucket's server is."""

import os
from collections.abc import Mapping
from typing import Final

from nightrank.feature_store.contracts.storage import Location, patience

ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


def endpoint(environ: Mapping[str, str] = os.environ) -> str | None:
    """The address of an S3 server that is not Amazon's; None for Amazon's."""
    return _first(ENDPOINTS, environ)


def region(environ: Mapping[str, str] = os.environ) -> str | None:
    return _first(REGIONS, environ)


def storage_options(place: Location, environ: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """What `deltalake` is given beside the address; None for a disk. Credentials are not in it: deltalake looks for them in
    the usual chain of each cloud. A commit is a conditional write, so several processes may write one table."""
    if place.is_local:
        return None
    if place.scheme == "hdfs":
        return dict(patience.OF_HDFS)
    if place.scheme != "s3":
        return _patience(environ)
    server = endpoint(environ)
    given = {"AWS_ENDPOINT_URL": server, "AWS_REGION": region(environ), "conditional_put": "etag"}
    if server is not None and server.startswith("http://"):
        given["AWS_ALLOW_HTTP"] = "true"
    return {**{name: value for name, value in given.items() if value is not None}, **_patience(environ)}


def _patience(environ: Mapping[str, str]) -> dict[str, str]:
    """The pauses of `contracts.storage`, as delta-rs names them."""
    seconds = patience.storage_seconds(environ)
    return {
        "max_retries": str(patience.UNBOUNDED),
        "retry_timeout": f"{seconds * 1000:.0f}ms",
        "backoff_config.init_backoff": f"{patience.FIRST_PAUSE_SECONDS * 1000:.0f}ms",
        "backoff_config.max_backoff": f"{patience.LONGEST_PAUSE_SECONDS * 1000:.0f}ms",
        "backoff_config.base": str(patience.GROWTH),
        "timeout": f"{patience.answer_seconds(seconds) * 1000:.0f}ms",
    }


def _first(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
