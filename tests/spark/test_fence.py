"""A run that was suspended and superseded commits no table and no release, though the JVM does the work."""

import pytest

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import ConflictError
from nightrank.feature_store.delta_log import version
from tests.sleepers import asleep, take_over, wake

pytestmark = pytest.mark.spark
TABLE = {"table": tables.USER_ATTRIBUTES, "release": tables.RELEASES}


@pytest.mark.parametrize("what", ["table", "release"])
def test_a_superseded_run_commits_no_version(lake, monkeypatch, what):
    with asleep(lake, what, "before") as sleeper:
        take_over(lake, monkeypatch)
        assert wake(sleeper).startswith("refused: run sleeper (fence 1) was superseded")
    assert version(lake, TABLE[what]) is None
    assert delta_read.releases(lake) == []


@pytest.mark.parametrize("what", ["table", "release"])
def test_a_takeover_waits_for_the_jvms_commit(lake, monkeypatch, what):
    with asleep(lake, what, "inside") as sleeper:
        with pytest.raises(ConflictError, match=r"run sleeper .* is inside a commit"):
            take_over(lake, monkeypatch)
        assert wake(sleeper) == "written"
        assert version(lake, TABLE[what]) == 0
        take_over(lake, monkeypatch)


def test_the_lock_is_the_jvms_and_outlives_the_process_that_drives_it(lake, monkeypatch):
    with asleep(lake, "table", "inside") as sleeper:
        java = [child for child in sleeper.children(recursive=True) if child.name() == "java"]
        for process in java:
            process.suspend()
        sleeper.kill()
        sleeper.wait()
        with pytest.raises(ConflictError, match="is inside a commit"):
            take_over(lake, monkeypatch)
        for process in java:
            process.kill()
        assert take_over(lake, monkeypatch, commit_seconds=20).fence > 1
    assert version(lake, tables.USER_ATTRIBUTES) is None
