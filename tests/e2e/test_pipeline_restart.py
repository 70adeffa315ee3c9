"""A run cut off by SIGKILL at a commit boundary, then the same command: the same content as an undisturbed run."""

import json
from datetime import date
from typing import Any

import pytest
from test_pipeline import nightrank

from feature_store.contracts.lake import Lake

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]
KILLED_AT = (
    "ingest_events.after_events",
    "build_features.before_vocabulary",
    "build_training_set.after_snapshot",
    "train.bundle.after",
    "register.registered",
    "gate.promoted",
    "score_users.after_recommendations",
    "release.before_releases",
)


def hashes(result: dict[str, Any]) -> dict[str, str]:
    return {table["name"]: table["content_sha256"] for stage in result["stages"] for table in stage["tables"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    lake = Lake(tmp_path_factory.mktemp("whole") / "lake")
    nightrank(lake, "simulate", "--preset", "tiny")
    return nightrank(lake, "full", "--as-of", str(a_day(lake)), "--config", "tiny")


def a_day(lake: Lake) -> date:
    return lake.landing_days("events")[-2]


@pytest.mark.parametrize("failpoint", KILLED_AT)
def test_a_kill_at_a_commit_boundary_changes_nothing(
    failpoint: str, undisturbed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = Lake(tmp_path_factory.mktemp("cut") / "lake")
    nightrank(lake, "simulate", "--preset", "tiny")
    command = ("full", "--as-of", str(a_day(lake)), "--config", "tiny")
    cut = nightrank(lake, *command, expect=1, NIGHTRANK_FAILPOINT=failpoint)
    assert "SIGKILL" in json.dumps(cut["error"])
    assert hashes(nightrank(lake, *command)) == hashes(undisturbed)
    assert nightrank(lake, "verify")["failed"] == []
