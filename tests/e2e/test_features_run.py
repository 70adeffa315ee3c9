"""Features through the real pipeline, of a ranker of lists and of a click ranker at once: a full run, a night, and a check."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, load_model_ref
from nightrank.feature_store.contracts.snapshot import load_snapshot
from nightrank.pipeline.verify import verify_run
from nightrank.ranker.ctr.bundle import load_ctr_bundle
from tests.commands import nightrank

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json").read_text())
SETTINGS = """
features:
  user: [count_7d, recency_days]
  item: [view_7d]
  attributes: [region]
impressions:
  fields: [user, item, category, position, attribute.interest]
  numeric: [log_price, log_history, user_click_28d, user_recency_days, item_count_7d]
ctr: {epochs: 2, model: {width: 4, hidden: [8]}}
"""
FEATURES = ("user_click_28d", "user_recency_days", "item_count_7d")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, list[dict[str, Any]]]:
    """(lake, [full run, night])."""
    folder = tmp_path_factory.mktemp("features")
    lake, settings = Lake(folder / "lake"), folder / "features.yaml"
    settings.write_text(SETTINGS)
    nightrank(lake, "simulate", "--preset", "tiny")
    days = lake.landing_days("events")
    config = ("--config", "tiny", "--config", "models/ctr/ctr_dnn", "--config", str(settings))
    full = nightrank(lake, "full", "--as-of", str(days[-2]), *config)
    return lake, [full, nightrank(lake, "nightly", "--date", str(days[-1]), *config, expect=(0, 7))]


def test_both_rankers_read_their_features_in_the_full_run_and_in_the_night(runs):
    lake, results = runs
    for result in results:
        jsonschema.validate(result, SCHEMA)
        lists, of_rows = result["training"]["features"], result["ctr"]["features"]
        assert lists["names"] == {"user": ["count_7d", "recency_days"], "item": ["view_7d"], "attributes": ["region"]}
        assert all(share > 0 for share in lists["known"].values())
        assert of_rows["names"] == {"user": ["click_28d", "recency_days"], "item": ["count_7d"], "attributes": ["interest"]}
        assert result["ctr"]["dropped"] == 0
        snapshot = load_snapshot(lake.snapshot(result["snapshot"]["id"]))
        assert {"user_features", "item_features", "user_attributes"} <= set(snapshot.parts)
        assert set(FEATURES) <= set(snapshot.impressions.numeric) and "attribute.interest" in snapshot.impressions.fields
        assert dict(zip(snapshot.impressions.fields, snapshot.impressions.sizes, strict=True))["attribute.interest"] > 2
        page = (lake.root / result["report"]).read_text()
        assert "user count_7d, recency_days (known for " in page and "Read by transformer" in page
        assert "attributes interest; item count_7d; user click_28d, recency_days. Read by dnn" in page


def test_the_click_ranker_of_the_night_has_its_sums_and_scored_every_list(runs):
    lake, results = runs
    ref = load_model_ref(lake.root / CTR_MODEL)
    assert ref.run_id == results[1]["run_id"]
    bundle = load_ctr_bundle(lake.root.path / ref.bundle, ref.manifest_sha256)
    assert {entity: len(held.table.keys) > 0 for entity, held in bundle.sums.of.items()} == {"user": True, "item": True}
    newest = delta_read.latest_release(lake)
    rows = delta_read.open_table(lake, tables.CLICK_SCORES.name).to_pyarrow_table(columns=["scores", "release_id"]).to_pylist()
    assert len(rows) == newest.rows and {row["release_id"] for row in rows} == {newest.release_id}
    assert len({score for row in rows for _, score in row["scores"]}) > 10


def test_every_hand_off_of_both_runs_is_whole(runs):
    lake, results = runs
    for result in results:
        outcome = verify_run(lake, result["run_id"])
        assert outcome.status == "ok", [(check.name, check.seen) for check in outcome.checks if check.status == "failed"]
