"""A place as each library wants it named, and where the environment says a bucket's server is."""

import os
from collections.abc import Mapping
from typing import Final

from nightrank.feature_store.contracts.storage import Location

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
    if place.scheme != "s3":
        return {}
    server = endpoint(environ)
    given = {"AWS_ENDPOINT_URL": server, "AWS_REGION": region(environ), "conditional_put": "etag"}
    if server is not None and server.startswith("http://"):
        given["AWS_ALLOW_HTTP"] = "true"
    return {name: value for name, value in given.items() if value is not None}


def _first(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
