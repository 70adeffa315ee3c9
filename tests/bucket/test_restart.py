"""A full run and a night in a bucket, cut off by SIGKILL once at every commit boundary: the content of undisturbed ones."""

import pytest

from tests.bucket.lakes import BUCKET, runs, simulated
from tests.commands import hashes, nightrank, until_done

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


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
