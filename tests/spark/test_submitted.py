"""A real spark-submit: its master and its Python win over our defaults, and Spark's own log says which stage did what."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyspark
import pytest

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.spark_jobs import ingest_events
from tests.spark.conftest import DAY, at, land

pytestmark = pytest.mark.spark
SUBMIT = Path(sys.executable).parent / "spark-submit"
PROGRAM = """
import json, os, sys
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.session import get_session

session = get_session(SparkSettings(driver_memory="512m", **json.loads(sys.argv[1])))
context = session.sparkContext
where = context.parallelize([0], 1).map(lambda _: os.environ.get("CHOSEN")).first()
print(json.dumps({"master": context.master, "name": context.appName, "chosen": where, "ui": context.uiWebUrl is not None}))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A Python of the user's choice, as an unpacked archive is; it marks what it runs."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nCHOSEN=yes exec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return path


def submit(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """spark-submit, with this Python for the driver, whose words it puts out as its own."""
    packages = ["--packages", ",".join(SparkSettings().packages), "--conf", f"spark.pyspark.driver.python={sys.executable}"]
    command = [str(SUBMIT), *packages, *map(str, arguments)]
    together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = {**os.environ, "SPARK_HOME": str(Path(pyspark.__file__).parent), **environ}
    return subprocess.run(command, env=environment, **together, text=True, timeout=300, check=False)


def seen(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, (done.stdout + (done.stderr or ""))[-3000:]
    found: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith('{"master"')))
    return found


def landed(lake: Lake) -> Lake:
    land(lake, "events", DAY, [{"user_id": "u1", "item_id": "a", "action": "view", "event_time": at(f"{DAY} 10:00")}])
    return lake


def test_spark_submit_keeps_its_master_and_its_python(program, python):
    facts = seen(submit("--master", "local[1]", "--conf", f"spark.pyspark.python={python}", program, "{}"))
    assert facts == {"master": "local[1]", "name": "nightrank", "chosen": "yes", "ui": False}


def test_the_python_that_the_user_names_runs_the_executors_of_a_session_of_our_own(program, python):
    def run(settings: dict[str, Any], **environ: str) -> dict[str, Any]:
        environment = {**os.environ, **environ}
        command = [sys.executable, str(program), json.dumps({"packages": [], **settings})]
        return seen(subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False))

    by_variable = run({"ui": True}, PYSPARK_PYTHON=str(python))
    assert by_variable == {"master": "local[2]", "name": "nightrank", "chosen": "yes", "ui": True}
    by_setting = run({"master": "local[1]", "extra": {"spark.pyspark.python": str(python)}})
    assert by_setting == {"master": "local[1]", "name": "nightrank", "chosen": "yes", "ui": False}


def test_spark_shows_the_run_and_the_stage_by_their_names(lake, tmp_path):
    (tmp_path / "log").mkdir()
    log = {"enabled": "true", "compress": "false", "dir": tmp_path / "log"}
    options = [part for key, value in log.items() for part in ("--conf", f"spark.eventLog.{key}={value}")]
    job = (ingest_events.__file__, "--root", landed(lake).root, "--date", DAY)
    done = submit("--master", "local[1]", *options, *job)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "master local[1] of spark-submit instead of the default local[2]" in done.stdout
    events = [json.loads(line) for path in (tmp_path / "log").rglob("events_*") for line in path.open()]
    (start,) = [event for event in events if event["Event"] == "SparkListenerApplicationStart"]
    assert start["App Name"] == f"nightrank night {DAY} ingest_events"
    jobs = [event["Properties"] for event in events if event["Event"] == "SparkListenerJobStart"]
    assert len(jobs) > 3
    assert {job.get("spark.jobGroup.id") for job in jobs} == {start["App Name"]}
    sentence = "ingest_events: Takes in the run's landing days; a night's are all since its champion's date."
    assert sentence in {job.get("spark.job.description") for job in jobs}


def test_two_masters_that_differ_are_refused_by_their_names(lake):
    job = (ingest_events.__file__, "--root", landed(lake).root, "--date", DAY, "--set", "spark.master=local[3]")
    done = submit("--master", "local[1]", *job)
    assert done.returncode == 2, done.stdout[-3000:]
    assert "spark.master is local[3] in the configuration and local[1] by spark-submit" in done.stdout
