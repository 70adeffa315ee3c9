"""A small shop through the real pipeline: a gate that pools its few rows, a catalogue that changes, and a date without events.

The cases catalogue_update, small_shop_gate and report_model.
"""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import RUN_DIR as MARKER
from nightrank.feature_store.contracts.tables import CATALOGUE
from nightrank.pipeline.verify import verify_run
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.spark_jobs.sources.imports import import_data

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
CASE = Path(__file__).parents[1] / "cases" / "catalogue_update"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json").read_text())
CONFIG = {
    # Two nights are pooled, and what they have decides; under so wide a margin the challenger wins.
    "gate": {"pool_nights": 2, "margin": 0.9},
    # Sixty users are not worth a compiler's time.
    "spark": {"extra": {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}},
}
USERS = 60


class Shop:
    """Its lake, its export files beside it, and what its runs answered."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, Lake(folder / "lake")
        mapping = (CASE / "columns.yaml").read_text().replace("  path: products.csv", "  path: products.csv\n  complete: true")
        (folder / "columns.yaml").write_text(mapping)
        (folder / "shop.yaml").write_text(yaml.safe_dump(CONFIG))

    def exports(self, nights: int, without: str = "") -> None:
        """Files of the first five days and so many nights. From the first on i1 is gone and i2 renamed; each brings an item."""
        subprocess.run([sys.executable, CASE / "make.py", str(nights)], cwd=self.folder, check=True)
        products = self.folder / "products.csv"
        lines = products.read_text().splitlines(keepends=True)
        products.write_text("".join(line for line in lines if not line.startswith(f"{without},")))

    def land(self, layout: str = "events", day: date | None = None) -> None:
        mapping = self.folder / "columns.yaml"
        import_data(layout, self.folder, self.lake.root, mapping=mapping, day=day, progress=lambda line: None)

    def nightrank(self, *arguments: str, expect: int = 0) -> tuple[dict[str, Any], str]:
        options = ("--config", "tiny", "--config", str(self.folder / "shop.yaml"), "--root", str(self.lake.root), "--json")
        command = [sys.executable, "-m", "nightrank.pipeline.cli", *arguments, *options]
        clean = {name: value for name, value in os.environ.items() if name != MARKER}
        done = subprocess.run(command, capture_output=True, text=True, env=clean)
        told = f"{done.returncode} from {arguments}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        assert done.returncode == expect, told
        return json.loads(done.stdout), done.stderr

    def listed(self) -> set[str]:
        """Items in somebody's list."""
        lists = (delta_read.recommendations_for(self.lake, f"u{user}")[1] for user in range(USERS))
        return {row["item_id"] for rows in lists for row in rows}

    def page(self, result: dict[str, Any]) -> str:
        return (self.lake.root / result["report"]).read_text()


def versions(lake: Lake) -> dict[str, int | None]:
    return {name: delta_read.table_version(lake, name) for name in CATALOGUE}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """After its full run."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.exports(0)
    shop.land()
    result, _ = shop.nightrank("full")
    assert result["gate"]["decision"] == "first"
    return shop


@pytest.fixture(scope="module")
def night(shop: Shop) -> dict[str, Any]:
    """The first night, with a catalogue that changed."""
    shop.exports(1)
    shop.land()
    return shop.nightrank("nightly", "--date", "2024-05-06")[0]


def test_a_night_with_few_rows_waits_and_its_new_product_is_listed_all_the_same(shop: Shop, night: dict[str, Any]) -> None:
    gate, maker = night["gate"], night["release"]["model"]
    assert gate["decision"] == "undecidable" and "are needed; they are pooled" in gate["reasons"][0]
    assert gate["new_items"] == "1 new items are scored by a copy of version 1 that is otherwise the same"
    assert (maker["version"], maker["ranker"], maker["items_not_scored"]) == (1, "transformer", 0)
    assert {"i1", "i40"} & shop.listed() == {"i40"}, "the deleted one is not listed, the new one is"
    assert night["counts"]["texts_encoded"] == 2, "the renamed one and the new one; the others come out of the cache"
    champion = shop.lake.expect_champion()
    before = load_bundle(shop.lake.root / champion.bundle)
    after = load_bundle(shop.lake.bundles / maker["manifest_sha256"])
    assert (before.info.items, after.info.items) == (40, 41)
    for name, value in before.weights.items():
        assert torch.equal(after.weights[name][: len(value)] if value.dim() else after.weights[name], value), name
    page = shop.page(night)
    assert "nightrank v1 made the lists" in page and "1 vanished from the newest complete export" in page
    outcome = verify_run(shop.lake)
    seen = {check.name: check.seen for check in outcome.checks}
    assert outcome.status == "ok" and "nightrank version 1 made the lists (ranker transformer" in seen["promotion"]
    assert seen["on sale"] == "0 unavailable and 1 vanished items in no list"


def test_a_catalogue_reaches_the_lists_on_a_date_without_events(shop: Shop, night: dict[str, Any]) -> None:
    gone = sorted(shop.listed() - {"i2", "i40"})[0]
    shop.exports(2, without=gone)
    shop.land("items", date(2024, 5, 7))
    champion, before = shop.lake.champion_path.read_bytes(), versions(shop.lake)
    assert "nothing is trained" in shop.nightrank("nightly", "--date", "2024-05-07", "--dry-run")[0]["note"]
    result, _ = shop.nightrank("nightly", "--date", "2024-05-07")
    jsonschema.validate(result, SCHEMA)
    assert (result["status"], result["gate"]["decision"], result["training"], result["model"]) == (
        "done",
        "no_challenger",
        None,
        None,
    )
    learning = {"score_baselines", "train", "register", "evaluate"}
    assert learning & {stage["name"] for stage in result["stages"]} == set()
    assert shop.lake.champion_path.read_bytes() == champion and result["release"]["model"]["version"] == 1
    assert {gone, "i41"} & shop.listed() == {"i41"}
    moved = {name for name, at in versions(shop.lake).items() if at != before[name]}
    assert {"items", "recommendations", "releases"} <= moved and not {"events", "examples_train"} & moved
    page = shop.page(result)
    assert "No event landed, only changes of items or users, so no model was trained and nightrank v1 made the lists" in page
    outcome = verify_run(shop.lake)
    assert (outcome.run_id, outcome.failed) == ("nightly-2024-05-07", ())
    before = versions(shop.lake)
    assert shop.nightrank("nightly", "--date", "2024-05-07")[0]["status"] == "already_done"
    assert shop.nightrank("nightly", "--date", "2024-05-08", expect=3)[0]["status"] == "nothing", "that date is empty"
    assert versions(shop.lake) == before


def test_nights_are_pooled_until_they_decide(shop: Shop, night: dict[str, Any]) -> None:
    """The events of the date that had none when it ran are learnt too."""
    shop.exports(3)
    shop.land()
    result, _ = shop.nightrank("nightly", "--date", "2024-05-08")
    gate, reasons = result["gate"], " ".join(result["gate"]["reasons"])
    assert (gate["decision"], gate["nights"]) == ("promoted", 2) and gate["n"] > night["gate"]["n"]
    assert "but 2 nights have passed" in reasons
    assert result["release"]["model"]["version"] == result["model"]["version"] == shop.lake.expect_champion().version
    assert verify_run(shop.lake).status == "ok"
