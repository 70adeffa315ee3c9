"""Two ingests of one day on one lake: the slower one ends with 5, and no row is there twice."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import FENCE, RUN_DIR
from nightrank.spark_jobs import ingest_events
from nightrank.spark_jobs.driver import submit
from tests.sleepers import wait_until_stopped
from tests.spark.conftest import DAY, at, land, make_context

pytestmark = pytest.mark.spark
PROGRAM = """
import os, signal, sys
from nightrank.feature_store import delta_io
from nightrank.spark_jobs import ingest_events
from nightrank.spark_jobs.driver import submit

def sleep(name):
    if name == "ingest_events.before_users":
        os.kill(os.getpid(), signal.SIGSTOP)

delta_io.failpoint = sleep
raise SystemExit(submit.main(ingest_events.NAME, ingest_events.run, ["--run-dir", sys.argv[1]]))
"""


@pytest.fixture
def landed(lake):
    events = [{"user_id": user, "item_id": "a", "action": "view", "event_time": at(f"{DAY} 10:00")} for user in ("u1", "u2")]
    land(lake, "events", DAY, events)
    land(lake, "users", DAY, [{"user_id": "u1"}])
    return lake


def test_outside_the_fence_the_slower_one_ends_with_a_conflict(spark, landed):
    """It has seen a lake without tables, and the other one makes them before it does."""
    with_fence_0 = {FENCE: "0", RUN_DIR: str(run_of(landed))}
    command = [sys.executable, "-c", PROGRAM, str(run_of(landed))]
    slower = psutil.Popen(command, env={**os.environ, **with_fence_0}, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_stopped(slower)
        ingest_events.run(make_context(landed, run_id="faster"))
        slower.send_signal(signal.SIGCONT)
        _, words = slower.communicate(timeout=300)
    finally:
        if slower.poll() is None:
            slower.kill()
    assert slower.returncode == 5, words[-3000:]
    assert "conflict: table users was written by another process at the same time (DELTA_PATH_EXISTS)" in words
    assert "Traceback" not in words
    assert {name: delta_io.read(spark, landed, tables.CATALOGUE[name]).count() for name in ("users", "events")} == {
        "users": 1,
        "events": 2,
    }


def test_one_started_while_a_run_has_the_lake_ends_with_a_conflict(landed, capsys):
    with leases.held(landed, "night"):
        code = submit.main(ingest_events.NAME, ingest_events.run, ["--root", str(landed.root), "--date", str(DAY)])
    assert code == 5
    assert "conflict: run night" in capsys.readouterr().err


def run_of(lake: Lake):
    run_dir = lake.run_dir("slower")
    spark = {"shuffle_partitions": 2, "driver_memory": "1g"}
    body = {"root": str(lake.root), "run_id": "slower", "kind": "nightly", "date": str(DAY), "seed": 17, "fence": 0}
    write_json(run_dir / "run.json", {**body, "config": {"spark": spark}})
    return run_dir
