"""A small shop through the real pipeline: a gate that pools its few rows, a catalogue that changes, and a date without events.

The cases catalogue_update, small_shop_gate and report_model.
"""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.tables import CATALOGUE
from nightrank.pipeline.verify import verify_run
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.spark_jobs.sources.imports import import_data
from tests.commands import nightrank

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
CASE = Path(__file__).parents[1] / "cases" / "catalogue_update"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json").read_text())
CONFIG = ("--config", "tiny", "--set", "gate.pool_nights=2", "--set", "gate.margin=0.9")
"""Two nights are pooled, and what they have decides; under so wide a margin the challenger wins."""
USERS = 60


class Shop:
    """Its lake, its export files beside it, and what its runs answered."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lake = folder, Lake(folder / "lake")
        mapping = (CASE / "columns.yaml").read_text().replace("  path: products.csv", "  path: products.csv\n  complete: true")
        (folder / "columns.yaml").write_text(mapping)

    def exports(self, nights: int) -> None:
        """Files of the first five days and so many nights. From the first on i1 is gone and i2 renamed; each brings an item."""
        subprocess.run([sys.executable, CASE / "make.py", str(nights)], cwd=self.folder, check=True)

    def land(self, layout: str = "events", day: date | None = None) -> None:
        mapping = self.folder / "columns.yaml"
        import_data(layout, self.folder, self.lake.root, mapping=mapping, day=day, progress=lambda line: None)

    def nightrank(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        return nightrank(self.lake, *arguments, *CONFIG, expect=expect)

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
    result = shop.nightrank("full")
    assert result["gate"]["decision"] == "first"
    return shop


@pytest.fixture(scope="module")
def closed(shop: Shop) -> dict[str, Any]:
    """The night of a date without events: i1 is off sale, i2 has another name, i40 is new."""
    shop.exports(1)
    shop.land("items", date(2024, 5, 6))
    assert "nothing is trained" in shop.nightrank("nightly", "--date", "2024-05-06", "--dry-run")["note"]
    return shop.nightrank("nightly", "--date", "2024-05-06")


@pytest.mark.night
def test_a_catalogue_reaches_the_lists_on_a_date_without_events(shop: Shop, closed: dict[str, Any]) -> None:
    jsonschema.validate(closed, SCHEMA)
    assert (closed["status"], closed["training"], closed["model"]) == ("done", None, None)
    gate, maker = closed["gate"], closed["release"]["model"]
    assert gate["decision"] == "no_challenger"
    assert gate["new_items"] == "1 new items are scored by a copy of version 1 that is otherwise the same"
    assert not {"train", "register", "evaluate", "score_baselines"} & {stage["name"] for stage in closed["stages"]}
    assert (maker["version"], maker["ranker"], maker["items_not_scored"]) == (1, "transformer", 0)
    assert {"i1", "i40"} & shop.listed() == {"i40"}, "the deleted one is not listed, the new one is"
    assert (closed["release"]["catalogue"]["unavailable"], closed["release"]["catalogue"]["vanished"]) == (0, 1)
    assert closed["counts"]["texts_encoded"] == 2, "the renamed one and the new one; the others come out of the cache"
    page = shop.page(closed)
    assert "No event landed, only changes of items or users, so no model was trained and nightrank v1 made the lists" in page
    assert "1 vanished from the newest complete export" in page
    outcome = verify_run(shop.lake)
    seen = {check.name: check.seen for check in outcome.checks}
    assert (outcome.run_id, outcome.failed) == ("nightly-2024-05-06", ())
    assert "nightrank version 1 made the lists (ranker transformer" in seen["promotion"]
    assert seen["on sale"] == "0 unavailable and 1 vanished items in no list"


@pytest.mark.night
def test_the_model_stayed_and_the_copy_that_made_the_lists_has_its_rows(shop: Shop, closed: dict[str, Any]) -> None:
    champion = shop.lake.expect_champion()
    assert champion.run_id == "full-2024-05-05"
    before = load_bundle(shop.lake.root.path / champion.bundle)
    after = load_bundle(shop.lake.bundles.path / closed["release"]["model"]["manifest_sha256"])
    assert (before.info.items, after.info.items) == (40, 41)
    for name, value in before.weights.items():
        assert torch.equal(after.weights[name][: len(value)] if value.dim() else after.weights[name], value), name


@pytest.mark.night
def test_the_same_date_again_and_an_empty_date_change_nothing(shop: Shop, closed: dict[str, Any]) -> None:
    before = versions(shop.lake)
    assert shop.nightrank("nightly", "--date", "2024-05-06")["status"] == "already_done"
    assert shop.nightrank("nightly", "--date", "2024-05-07", expect=3)["status"] == "nothing"
    assert versions(shop.lake) == before


@pytest.mark.slow
def test_nights_with_few_rows_are_pooled_until_they_decide(shop: Shop, closed: dict[str, Any]) -> None:
    shop.exports(2)
    shop.land()
    first = shop.nightrank("nightly", "--date", "2024-05-07")
    assert first["gate"]["decision"] == "undecidable" and "are needed; they are pooled" in first["gate"]["reasons"][0]
    assert (first["release"]["model"]["version"], first["release"]["model"]["items_not_scored"]) == (1, 0)
    assert "nightrank v1 made the lists" in shop.page(first)
    shop.exports(3)
    shop.land()
    second = shop.nightrank("nightly", "--date", "2024-05-08")
    gate = second["gate"]
    assert (gate["decision"], gate["nights"]) == ("promoted", 2) and gate["n"] > first["gate"]["n"]
    assert "but 2 nights have passed" in " ".join(gate["reasons"])
    assert second["release"]["model"]["version"] == second["model"]["version"] == shop.lake.expect_champion().version
    assert verify_run(shop.lake).status == "ok"
