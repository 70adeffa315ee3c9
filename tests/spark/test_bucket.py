"""Spark and Delta on a lake in a bucket: a session of its own in one process, whose cases `tests/bucket_session.py` runs."""

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.spark
WRITTEN = {"outcome": "done", "versions": 1, "rows": True}


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "tests.bucket_session"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_table_is_made_added_to_and_merged_into_and_every_reader_sees_the_same(cases):
    after = {"1": 10, "2": 21, "3": 30, "4": 40}
    assert cases["tables"] == {
        "versions": [0, 1, 2, 2],
        "merged_rows": 2,
        "spark": after,
        "arrow": after,
        "rows_of": 4,
        "entry": [2, 64],
        "first": {"1": 10, "2": 20},
    }


def test_checkpoints_are_written_and_read(cases):
    assert cases["checkpoint"]["commits"] == [4, 5] and cases["checkpoint"]["pointer"] == 5
    assert cases["checkpoint"]["rows"] == {"1": 10, "2": 21, "3": 30, "4": 40, "5": 5, "6": 6}


def test_of_two_writers_of_one_version_one_wins_and_the_other_gets_a_conflict(cases):
    assert cases["race"] == {"outcomes": ["conflict", "done"], "versions": 1, "kept": True}


def test_a_commit_whose_answer_is_lost_happens_once(cases):
    assert cases["lost"] == {**WRITTEN, "puts": 2}


def test_a_commit_none_of_whose_answers_comes_is_found_by_reading(cases):
    assert cases["lost_often"].items() >= WRITTEN.items() and cases["lost_often"]["puts"] > 2


def test_a_conflict_of_conditional_writes_is_tried_again(cases):
    assert cases["conflicted"] == {**WRITTEN, "puts": 3}


@pytest.mark.parametrize("case", ["busy", "slow"])
def test_a_busy_or_slow_server_delays_and_nothing_else(cases, case):
    assert cases[case] == {**WRITTEN, "puts": 1}


def test_plain_parquet_is_not_copied_and_leaves_nothing_behind(cases):
    assert cases["parquet"] == {"rows": 100, "committer": "magic", "files": [".parquet"], "left": [], "copied": False}


def test_an_absent_bucket_is_a_fault_of_the_configuration(cases):
    assert cases["absent"] == [[2, "bucket s3://absent does not exist"]] * 3


def test_what_is_not_allowed_is_a_fault_of_the_configuration_in_a_task_and_in_the_driver(cases):
    assert cases["forbidden"] == [[2, "s3://lake does not allow what a table needs (403)"]] * 2


@pytest.mark.parametrize("case", ["busy_for_good", "gone"])
def test_a_server_that_does_not_serve_is_unreachable(cases, case):
    code, message = cases[case]
    assert code == 8 and message.startswith("s3://lake does not answer")
