"""One cluster for the suite. Executors run a wrapper on their worker's PATH, so tests can break it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.standalone import Cluster

ROOT: Final = Path(__file__).parents[2]
WORKERS: Final = ("127.0.0.2", "127.0.0.3")
PYTHON: Final = "cluster-python"
"""What executors run: found on the PATH of their worker."""
PYTHON_LINE: Final = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(tmp_path_factory.mktemp("cluster"), ROOT)
    try:
        found.start_master()
        for host in WORKERS:
            start_worker(found, host)
        yield found
    finally:
        found.stop()


def start_worker(cluster: Cluster, host: str) -> None:
    folder = cluster.folder / f"bin-{host}"
    folder.mkdir(exist_ok=True)
    python = folder / PYTHON
    python.write_text(PYTHON_LINE)
    python.chmod(0o755)
    cluster.start_worker(host, PATH=os.pathsep.join([str(folder), os.environ["PATH"]]))
