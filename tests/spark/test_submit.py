"""The jobs as processes: alone by submit, in one host, killed at every commit boundary and started again."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date

import psutil
import pytest

from nightrank.feature_store import delta_io
from nightrank.feature_store.content_hash import content_sha256
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs.driver import host
from tests.spark.conftest import DAY, at, land

pytestmark = pytest.mark.spark
TABLES = ("quarantine", "users", "items", "events", "vocabulary", "interactions")
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
    spark = {"shuffle_partitions": 2, "driver_memory": "1g"}
    body = {"root": str(lake.root), "run_id": "night", "kind": "nightly", "date": str(DAY), "seed": 17, "fence": 0}
    write_json(run_dir / "run.json", {**body, "config": {"spark": spark}})
    return run_dir


def command(run_dir, stages=STAGES):
    return [sys.executable, "-m", "nightrank.spark_jobs.driver.host", "--run-dir", str(run_dir), "--stages", stages]


def hashes(spark, lake):
    found = [tables.CATALOGUE[name] for name in TABLES]
    return {table.name: content_sha256(delta_io.read(spark, lake, table), table) for table in found}


def counts(lake):
    return json.loads((lake.run_dir("night") / "stages/ingest_events.json").read_text())["counts"]


@pytest.fixture(scope="module")
def undisturbed(spark, tmp_path_factory):
    """A night that nothing disturbed: its tables' content, and its counts."""
    lake = market(Lake(tmp_path_factory.mktemp("whole")))
    assert host.main(command(write_run(lake))[3:]) == 0
    return hashes(spark, lake), counts(lake)


def test_each_stage_says_how_much_it_read(spark, tmp_path):
    run_dir = write_run(market(Lake(tmp_path)))
    assert host.main(command(run_dir)[3:]) == 0
    landed = sum(path.stat().st_size for path in (tmp_path / "landing").rglob("*.parquet"))
    read = {name: json.loads((run_dir / f"stages/{name}.json").read_text())["bytes_read"] for name in STAGES.split(",")}
    assert read["ingest_events"] == landed
    assert 1000 < read["build_features"] < 10**7


class Killed(BaseException):
    """Stands for SIGKILL inside this process: nobody catches it."""


def test_dying_at_every_commit_boundary_ends_in_the_same_content(spark, tmp_path, monkeypatch, undisturbed):
    lake = market(Lake(tmp_path))
    options = command(write_run(lake))[3:]
    for stage, names in (("ingest_events", TABLES[:4]), ("build_features", TABLES[4:])):
        for name in names:
            wanted = f"{stage}.after_{name}"

            def die(name, wanted=wanted):
                if name == wanted:
                    raise Killed(name)

            monkeypatch.setattr(delta_io, "failpoint", die)
            with pytest.raises(Killed):
                host.main(options)
    monkeypatch.undo()
    assert host.main(options) == 0
    assert (hashes(spark, lake), counts(lake)) == undisturbed


def test_sigkill_in_mid_night_leaves_no_jvm_and_the_same_command_finishes(spark, tmp_path, undisturbed):
    lake = market(Lake(tmp_path))
    run_dir = write_run(lake)
    environment = {**os.environ, "NIGHTRANK_FAILPOINT": "build_features.before_interactions"}
    driver = psutil.Popen(command(run_dir), env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    java = []
    while driver.poll() is None:
        with suppress(psutil.NoSuchProcess):  # a child that ends while it is looked at
            java += [child for child in driver.children(recursive=True) if child.name() == "java" and child not in java]
        time.sleep(0.2)
    assert driver.returncode == -9
    gone, alive = psutil.wait_procs(java, timeout=30)
    assert gone
    assert not alive
    assert driver.stdout.read() == b""
    assert (run_dir / "stages/ingest_events.json").exists()
    assert host.main(command(run_dir)[3:]) == 0
    assert (hashes(spark, lake), counts(lake)) == undisturbed


def test_a_job_started_alone_makes_a_run_of_its_own_and_faults_have_their_exit_codes(tmp_path):
    lake = market(Lake(tmp_path / "lake"))

    def submit(*options):
        command = [sys.executable, "-m", "nightrank.spark_jobs.ingest_events", *options]
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
    assert host.main(command(write_run(lake), "no_such_stage")[3:]) == 2
