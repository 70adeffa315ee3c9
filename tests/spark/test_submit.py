"""The jobs as processes: alone by submit, in one host, killed at every commit boundary and started again."""

import json
import os
import subprocess
import sys
import time
from datetime import date

import psutil
import pytest

from feature_store import delta_io
from feature_store.content_hash import content_sha256
from feature_store.contracts import tables
from feature_store.contracts.files import write_json
from feature_store.contracts.lake import Lake
from tests.spark.conftest import DAY, at, land

pytestmark = pytest.mark.spark
TABLES = ("events", "items", "users", "quarantine", "vocabulary", "interactions", "user_features", "item_features")
STAGES = "ingest_events,build_features"


def market(lake):
    events = [
        {"user_id": user, "item_id": item, "action": "view", "event_time": at(f"2024-03-10 {hour:02d}:00")}
        for hour, (user, item) in enumerate([("u1", "a"), ("u2", "b"), ("u1", "c"), (None, "a")])
    ]
    land(lake, "events", DAY, events)
    land(lake, "items", DAY, [{"item_id": "a", "title": "A", "categories": ["x"]}])
    land(lake, "users", DAY, [{"user_id": "u1"}])
    return lake


def write_run(lake):
    run_dir = lake.run_dir("night")
    spark = {
        "shuffle_partitions": 2,
        "driver_memory": "1g",
        "extra": {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"},
    }
    body = {"root": str(lake.root), "run_id": "night", "kind": "nightly", "date": str(DAY), "seed": 17, "fence": 0}
    write_json(run_dir / "run.json", {**body, "config": {"spark": spark}})
    return run_dir


def host(run_dir, failpoint=None, stages=STAGES):
    command = [sys.executable, "-m", "spark_jobs.host", "--run-dir", str(run_dir), "--stages", stages]
    environment = {**os.environ, **({"NIGHTRANK_FAILPOINT": failpoint} if failpoint else {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def hashes(spark, lake):
    found = [tables.CATALOGUE[name] for name in TABLES]
    return {table.name: content_sha256(delta_io.read(spark, lake, table), table) for table in found}


def test_a_kill_at_every_commit_boundary_ends_in_the_same_content(spark, tmp_path):
    whole = market(Lake(tmp_path / "whole"))
    done = host(write_run(whole))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    expected = hashes(spark, whole)
    killed = market(Lake(tmp_path / "killed"))
    run_dir = write_run(killed)
    # Each start goes a little further than the one before and dies at the next boundary.
    for failpoint in ("ingest_events.after_quarantine", "ingest_events.before_events", "ingest_events.after_events"):
        assert host(run_dir, failpoint).returncode == -9
    for failpoint in (
        "build_features.after_vocabulary",
        "build_features.after_interactions",
        "build_features.after_user_features",
    ):
        assert host(run_dir, failpoint).returncode == -9
    again = host(run_dir)
    assert again.returncode == 0, again.stderr
    assert hashes(spark, killed) == expected
    counts = [
        json.loads((lake.run_dir("night") / "stages/ingest_events.json").read_text())["counts"] for lake in (whole, killed)
    ]
    assert counts[0] == counts[1]


def test_no_jvm_outlives_a_killed_driver(tmp_path):
    run_dir = write_run(market(Lake(tmp_path / "lake")))
    command = [sys.executable, "-m", "spark_jobs.host", "--run-dir", str(run_dir), "--stages", STAGES]
    driver = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    java = []
    deadline = time.monotonic() + 120
    while not java and time.monotonic() < deadline:
        java = [child for child in driver.children(recursive=True) if child.name() == "java"]
        time.sleep(0.2)
    time.sleep(5)
    driver.kill()
    driver.wait()
    gone, alive = psutil.wait_procs(java, timeout=30)
    assert gone
    assert not alive


def test_a_job_started_alone_makes_a_run_of_its_own_and_faults_have_their_exit_codes(tmp_path):
    lake = market(Lake(tmp_path / "lake"))

    def submit(*options):
        command = [sys.executable, "-m", "spark_jobs.ingest_events", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    empty = submit("--root", str(lake.root), "--date", str(date(2024, 3, 11)))
    assert empty.returncode == 3
    assert "nothing: no valid event landed for 2024-03-11" in empty.stderr
    error = json.loads((lake.run_dir("stage-ingest_events-2024-03-11") / "stages/ingest_events.error.json").read_text())
    assert error["exit_code"] == 3
    wrong = submit("--root", str(lake.root), "--date", str(DAY), "--set", "ingst.x=1")
    assert wrong.returncode == 2
    assert "unknown section ingst" in wrong.stderr
    assert submit("--root", str(lake.root)).returncode == 2
    assert host(write_run(lake), stages="no_such_stage").returncode == 2
