"""Nights in order through the real pipeline, resumed, and the curve beside no update and a full training every night."""

from typing import Any

import jsonschema
import pytest

from nightrank.feature_store.contracts.lake import Lake
from tests.commands import nightrank
from tests.e2e.test_pipeline import SCHEMA

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(7200)]
CONFIG = (
    "--config",
    "tiny",
    "--set",
    "trainer.launcher=one_process",
    "--set",
    "text.encoder=none",
    "--set",
    "gate.decidable_rows=10",
)


def test_a_replay_resumes_and_draws_its_curve(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("replay") / "lake")
    nightrank(lake, "simulate", "--preset", "tiny")
    learnt, first, last = map(str, lake.landing_days("events")[-3:])
    nightrank(lake, "full", "--as-of", learnt, *CONFIG)

    one = replay(lake, first, first, "--references", "none")
    (night,) = one["prequential"]["nights"]
    assert night["date"] == first and set(night["figures"]) == {"nightly", "truth"}
    champion = lake.champion()

    two = replay(lake, first, last, "--references", "full")
    again, new = two["runs"]
    assert again["status"] == "already_done" and new["status"] in ("done", "gate_rejected")
    jsonschema.validate(new, SCHEMA)
    nights = two["prequential"]["nights"]
    assert [set(each["figures"]) for each in nights] == [{"nightly", "static", "full", "truth"}] * 2
    assert nights[0]["figures"]["nightly"] == nights[0]["figures"]["static"], "the champion was the full model"
    assert all(0 < figure["value"] < 1 for each in nights for figure in each["figures"].values())
    assert all(each["rows"] > 50 for each in nights), "all users of the day, not a hold-out of them"
    assert two["prequential"]["means"]["full"] > 0 and two["prequential"]["train_seconds"]["full"] > 0
    page = (lake.root / "reports" / f"prequential-{first}-{last}.html").read_text()
    assert "Full training every night" in page and "No update" in page

    other = Lake(lake.root.with_name("lake-full-retrain"))
    assert other.champion() is not None and (other.root / "mlflow").exists()
    current = lake.champion()
    assert champion is not None and current is not None and current.run_id.startswith("nightly-")
    third = replay(lake, first, last, "--references", "full")
    assert {run["status"] for run in third["runs"]} == {"already_done"} and third["prequential"] == two["prequential"]


def replay(lake: Lake, first: str, last: str, *options: str) -> dict[str, Any]:
    return nightrank(lake, "replay", "--from", first, "--to", last, *options, *CONFIG, expect=(0, 7))
