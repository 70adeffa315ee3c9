"""A full run and a night in a bucket, cut off by SIGKILL once at every commit boundary: the content of undisturbed ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store.contracts.failpoints import EACH_ONCE
from nightrank.feature_store.contracts.lake import Lake
from tests.bucket.lakes import BUCKET, hashes, nightrank, runs, simulated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
MOST_KILLS = 120


def until_done(lake: Lake, command: tuple[str, ...], died_at: Path) -> dict[str, Any]:
    """The same command again and again, each time killed at the next boundary, until none is left."""
    for _ in range(MOST_KILLS):
        before = died_at.read_text().split()
        result = nightrank(lake, *command, expect=(0, 1, 6, 7), **{EACH_ONCE: str(died_at)})
        if result["exit_code"] in (0, 7):
            return result
        assert died_at.read_text().split()[len(before) :], f"it failed at no failpoint: {result['error']}"
        assert any(word in json.dumps(result["error"]) for word in ("SIGKILL", "lost")), result["error"]
    raise AssertionError(f"not done after {MOST_KILLS} kills")


def test_killed_once_at_every_boundary_it_ends_in_the_same_content(faults, on_disk, tmp_path, capsys):
    lake, options = simulated(f"s3://{BUCKET}/killed", tmp_path)
    for command, whole in zip(runs(lake, options)[:2], on_disk[1], strict=False):
        died_at = tmp_path / f"died_{command[0]}"
        died_at.touch()
        cut = until_done(lake, command, died_at)
        boundaries = died_at.read_text().split()
        with capsys.disabled():
            print(f"\n{command[0]}: killed {len(boundaries)} times: {' '.join(boundaries)}")
        assert len(boundaries) == len(set(boundaries)) > 20
        assert hashes(lake, cut) == whole
        assert nightrank(lake, "verify", "--run", cut["run_id"])["failed"] == []
