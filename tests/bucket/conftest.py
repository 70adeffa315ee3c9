"""Lakes in a bucket of a real S3 server on loopback, and the same market on a disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.lake import Lake
from tests.bucket.lakes import BUCKET, on_a_disk
from tests.s3_server import Faults, proxy, s3_server, use


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    with s3_server(BUCKET) as port:
        yield port


@pytest.fixture(scope="session")
def faults(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Between every process of these tests and the server; it makes no fault before a test asks for one."""
    with pytest.MonkeyPatch.context() as patch, proxy(server) as (port, made):
        use(patch, port)
        patch.setenv("NIGHTRANK_NODE_CACHE", str(tmp_path_factory.mktemp("node_cache")))
        patch.setenv("NIGHTRANK_STORAGE_SECONDS", "20")
        yield made


@pytest.fixture(scope="session")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[dict[str, str]]]:
    """The lake of a full run and two nights, and what each of the three left by content."""
    folder: Path = tmp_path_factory.mktemp("disk")
    return on_a_disk(folder)
