"""A Spark standalone cluster for Airflow's tests, by a Python with Spark: prints its master, lives until its input ends."""

import sys
from pathlib import Path

from tests.cluster.conftest import ROOT
from tests.cluster.standalone import Cluster


def main(folder: Path) -> None:
    cluster = Cluster(folder, ROOT)
    try:
        cluster.start_master()
        for host in ("127.0.0.2", "127.0.0.3"):
            cluster.start_worker(host)
        print(cluster.master, flush=True)
        sys.stdin.read()
    finally:
        cluster.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
