"""A full run and a night cut off by SIGKILL once at every commit boundary they pass: the same content as undisturbed ones."""

from datetime import date
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.failpoints import VARIABLE
from nightrank.feature_store.contracts.lake import Lake
from tests.commands import hashes, nightrank, until_done

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(7200)]
STAGES = ("ingest_events", "build_features", "embed_items", "build_training_set", "train", "register", "gate", "score_users")


def days(lake: Lake) -> list[date]:
    return lake.landing_days("events")


def runs(lake: Lake) -> list[tuple[str, ...]]:
    """A full run, and the night after it."""
    full, night = days(lake)[-3:-1]
    return [("full", "--as-of", str(full), "--config", "tiny"), ("nightly", "--date", str(night), "--config", "tiny")]


def simulated(folder: Path) -> Lake:
    lake = Lake(folder / "lake")
    nightrank(lake, "simulate", "--preset", "tiny")
    return lake


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    lake = simulated(tmp_path_factory.mktemp("whole"))
    return [hashes(lake, nightrank(lake, *command, expect=(0, 7))) for command in runs(lake)]


def test_killed_once_at_every_boundary_it_ends_in_the_same_content(
    undisturbed: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = simulated(tmp_path)
    for command, whole in zip(runs(lake), undisturbed, strict=True):
        died_at = tmp_path / f"died_{command[0]}"
        died_at.touch()
        cut = until_done(lake, command, died_at)
        boundaries = died_at.read_text().split()
        with capsys.disabled():
            print(f"\n{command[0]}: killed {len(boundaries)} times: {' '.join(boundaries)}")
        assert {name.split(".")[0] for name in boundaries} >= set(STAGES)
        assert len(boundaries) == len(set(boundaries))
        assert hashes(lake, cut) == whole
        assert nightrank(lake, "verify", "--run", cut["run_id"])["failed"] == []


@pytest.mark.parametrize("place", ["ingest_events.after_events", "score_users.after_recommendations"])
def test_a_kill_leaves_the_lists_of_before_readable(place: str, undisturbed: list[dict[str, str]], tmp_path: Path) -> None:
    lake = simulated(tmp_path)
    full, night = runs(lake)
    nightrank(lake, *full)
    before = nightrank(lake, "recommend", "--user", a_user(lake))
    nightrank(lake, *night, expect=1, **{VARIABLE: place})
    assert nightrank(lake, "recommend", "--user", a_user(lake)) == before


def a_user(lake: Lake) -> str:
    import pyarrow.dataset as ds

    first = ds.dataset(str(lake.landing_day("events", days(lake)[0])), format="parquet").to_table(columns=["user_id"])
    return str(next(user for user in first.column(0).to_pylist() if user))
