"""A small shop through the real pipeline: its catalogue changes, its gate has few rows, and what is said is what is so.

The cases catalogue_update, small_shop_gate and report_model.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import RUN_DIR as MARKER
from nightrank.pipeline.verify import verify_run
from nightrank.spark_jobs.sources.imports import import_data

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
CASE = Path(__file__).parents[1] / "cases" / "catalogue_update"


def nightrank(lake: Lake, *arguments: str) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, "--root", str(lake.root), "--json"]
    clean = {name: value for name, value in os.environ.items() if name != MARKER}
    done = subprocess.run(command, capture_output=True, text=True, env=clean)
    assert done.returncode == 0, f"{done.returncode} from {arguments}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, Any], str]:
    """(lake, the night's result, what it printed) after a full run and a night with a catalogue that changed."""
    folder = tmp_path_factory.mktemp("shop")
    lake = Lake(folder / "lake")
    mapping = (CASE / "columns.yaml").read_text().replace("  path: products.csv", "  path: products.csv\n  complete: true")
    (folder / "columns.yaml").write_text(mapping)
    for nights, command in ((0, ("full",)), (1, ("nightly", "--date", "2024-05-06"))):
        subprocess.run([sys.executable, CASE / "make.py", str(nights)], cwd=folder, check=True)
        import_data("events", folder, lake.root, mapping=folder / "columns.yaml", progress=lambda line: None)
        result, told = nightrank(lake, *command, "--config", "tiny")
    return lake, result, told


def test_the_new_product_is_listed_the_deleted_one_is_not_and_the_renamed_has_its_name(shop):
    lake, result, _ = shop
    release = delta_read.latest_release(lake)
    rows = {}
    for user in range(60):
        for row in delta_read.recommendations_for(lake, f"u{user}")[1]:
            rows.setdefault(row["item_id"], set()).add(row["user_id"])
    assert release.date == "2024-05-06" and "i1" not in rows and "i40" in rows
    assert (result["release"]["catalogue"]["unavailable"], result["release"]["catalogue"]["vanished"]) == (0, 1)
    assert result["counts"]["texts_encoded"] == 2  # the renamed one and the new one; the others come out of the cache
    assert verify_run(lake).status == "ok"


def test_the_model_that_made_the_lists_is_named_everywhere(shop):
    lake, result, told = shop
    maker, gate = result["release"]["model"], result["gate"]
    live = gate["decision"] in ("first", "promoted")
    assert (maker["version"] == result["model"]["version"]) == live
    assert maker["ranker"] == "transformer" and maker["settings"]["width"] == 16 and maker["items_not_scored"] == 0
    if not live:
        assert gate["decision"] == "undecidable" and "are needed; they are pooled" in gate["reasons"][0]
    page = (lake.root / result["report"]).read_text()
    assert f"nightrank v{maker['version']}" in page and "1 vanished from the newest complete export" in page
    seen = {check.name: check.seen for check in verify_run(lake).checks}
    assert f"nightrank version {maker['version']} made the lists (ranker transformer" in seen["promotion"]
    assert seen["on sale"] == "0 unavailable and 1 vanished items in no list"
    assert "score_users" in told and "running" in told


def test_a_full_run_of_a_small_shop_can_go_live(shop):
    lake, _, _ = shop
    result, _ = nightrank(lake, "full", "--config", "tiny", "--set", "gate.margin=10")
    assert result["gate"]["decision"] == "promoted" and "judged on the rows there are" in " ".join(result["gate"]["reasons"])
    assert result["release"]["model"]["version"] == result["model"]["version"]
