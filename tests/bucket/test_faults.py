"""Runs in a bucket whose server loses answers, is busy, is slow, or goes away: the content is that of a disk."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bucket.lakes import BUCKET, runs, simulated
from tests.commands import hashes, nightrank
from tests.s3_server import Faults

pytestmark = [pytest.mark.bucket, pytest.mark.timeout(3600)]


@pytest.fixture
def made(faults: Faults) -> Iterator[Faults]:
    """Faults that end with the test."""
    yield faults
    faults.method, faults.key, faults.lose, faults.refuse, faults.delay, faults.every = "PUT", "", 0, 0, 0.0, 1


def test_lost_answers_busy_and_slow_change_no_content(made: Faults, on_disk, tmp_path: Path) -> None:
    """Each ninth write happens and its answer is lost; the first of them find the server busy."""
    lake, options = simulated(f"s3://{BUCKET}/lossy", tmp_path)
    full, night, _ = runs(lake, options)
    made.every, made.lose, made.refuse = 9, 100_000, 0
    assert hashes(lake, nightrank(lake, *full)) == on_disk[1][0]
    made.every, made.lose, made.refuse = 5, 0, 100_000
    assert hashes(lake, nightrank(lake, *night, expect=(0, 7))) == on_disk[1][1]
    made.refuse = made.lose = 0
    for kind, command in (("full", full), ("nightly", night)):
        assert nightrank(lake, "verify", "--run", f"{kind}-{command[2]}")["failed"] == []


@pytest.mark.parametrize("after", [20.0, 60.0])
def test_a_server_that_goes_away_ends_the_run_with_8_and_the_same_command_continues(
    made: Faults, on_disk, tmp_path: Path, after: float
) -> None:
    lake, options = simulated(f"s3://{BUCKET}/away-{after:.0f}", tmp_path)
    full = runs(lake, options)[0]
    away = threading.Timer(after, lambda: setattr(made, "refuse", 1_000_000))
    made.method = ""
    away.start()
    began = time.monotonic()
    broken = nightrank(lake, *full, expect=(0, 5, 8))
    away.join()
    made.refuse = 0
    if broken["exit_code"] == 0:
        pytest.fail(f"the run ended in {time.monotonic() - began:.0f} s, before the server went away")
    assert hashes(lake, nightrank(lake, *full)) == on_disk[1][0]
