"""An executor and a worker that die in mid-stage: Spark repeats their tasks, and the tables are those of a local run."""

import json
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.lake import Lake
from tests.cluster.commands import CONFIG, FIRST, applications, hashes, new_lake, on
from tests.cluster.conftest import WORKERS, start_worker
from tests.cluster.standalone import Cluster
from tests.commands import command, environment, nightrank

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Content hashes of the first two stages on this machine alone."""
    lake = new_lake(tmp_path_factory.mktemp("local") / "lake")
    when = ("--date", str(day_of(lake)), "--kind", "full")
    nightrank(lake, "run", "open", *when, *CONFIG)
    return hashes(nightrank(lake, "run", "stage", *FIRST, *when))


def test_an_executor_and_a_worker_are_killed_in_mid_stage_and_the_content_is_that_of_a_local_run(
    cluster: Cluster, tmp_path: Path, local: dict[str, str]
) -> None:
    lake = new_lake(tmp_path / "lake")
    when = ("--date", str(day_of(lake)), "--kind", "full")
    options = on(cluster, tmp_path / "events")
    nightrank(lake, "run", "open", *when, *CONFIG, *options)
    folder = lake.run_dir(f"full-{day_of(lake)}")
    words = command(lake, "run", "stage", *FIRST, *when, *CONFIG, *options)
    with open(tmp_path / "words", "w+b") as out, open(tmp_path / "errors", "w+b") as errors:
        child = subprocess.Popen(words, stdout=out, stderr=errors, env=environment())
        try:
            log = folder / "logs" / "ingest_events.log"
            until(lambda: log.exists() and "executors run Python" in log.read_text(), child)
            assert not (folder / "stages" / "ingest_events.json").exists()
            (executor,) = cluster.executors("127.0.0.2")
            executor.kill()
            until(lambda: (folder / "stages" / "ingest_events.json").exists(), child)
            assert not (folder / "stages" / "build_features.json").exists()
            cluster.kill_worker("127.0.0.3")
            assert child.wait(1200) == 0, (tmp_path / "errors").read_text()[-6000:]
        finally:
            child.kill()
            if not cluster.has("127.0.0.3"):
                start_worker(cluster, "127.0.0.3")
    result = json.loads((tmp_path / "words").read_text())
    assert hashes(result) == local and len(local) >= 6
    (hosts,) = applications(tmp_path / "events").values()
    assert hosts == set(WORKERS)


def day_of(lake: Lake) -> date:
    return lake.landing_days("events")[-3]


def until(true: Callable[[], bool], child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 900
    while not true():
        assert child.poll() is None and time.monotonic() < deadline, f"the run ended with {child.poll()}"
        time.sleep(0.1)
