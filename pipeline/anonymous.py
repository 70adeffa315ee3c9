"""Lists for whom no list was released: a session's history, or nobody known. Made by the released model, without Spark."""

import json
from collections.abc import Sequence
from typing import Any, Final

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.list_rules import ListRule, may_be_shown
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.scoring_settings import ScoringSettings
from nightrank.feature_store.contracts.storage import local_folder
from nightrank.feature_store.contracts.tables import ITEMS
from nightrank.feature_store.rule_rows import read_rules
from nightrank.pipeline.checks.lists import off_sale
from nightrank.pipeline.child import answered

FROM_HISTORY: Final = "session"
POPULAR: Final = "popular"
"""What `fallback` of such a row says: the list follows the history given, or is what most users want."""
PROGRAM: Final = "nightrank.ranker.bundle.listed"


def anonymous_list(lake: Lake, release: Release, history: Sequence[str], k: int) -> list[dict[str, Any]]:
    """Up to `k` rows (rank, item_id, score, fallback), best first, of the release's model for a history, oldest item first.

    Without an item that the model knows they are the most popular ones, scored 1, 1/2, 1/3 ... What is not on sale is in none.
    DataContractError where the release's bundle is gone or broken.
    """
    listed, known = _listed(lake, release.manifest_sha256, list(history), k, hidden_from(lake, release))
    how = FROM_HISTORY if known else POPULAR
    return [{c.RANK: rank, c.ITEM_ID: item, c.SCORE: score, c.FALLBACK: how} for rank, (item, score) in enumerate(listed, 1)]


def _listed(lake: Lake, manifest: str, history: list[str], k: int, hidden: list[str]) -> tuple[list[tuple[str, float]], bool]:
    """By a process of its own, which imports torch."""
    folder = local_folder(lake.bundles / manifest)
    request = {"folder": str(folder), "manifest": manifest, "histories": [history], "k": k, "hidden": hidden}
    answer = answered(PROGRAM, json.dumps(request), f"the lists of model {manifest[:12]} were not made")
    return [(item, score) for item, score in answer["lists"][0]], answer["known"][0]


def hidden_from(lake: Lake, release: Release) -> list[str]:
    """Ids of items that are in no list of the release: not on sale by the catalogue as it is now, or by the rules that the
    release follows."""
    table = delta_read.newest(lake, ITEMS.name)
    if table is None:
        return []
    items = delta_read.dataset(lake, ITEMS.name, delta_read.file_paths(table), ITEMS.schema)
    found: set[str] = {*off_sale(items.to_table(columns=[c.ITEM_ID, c.AVAILABLE, c.LISTED, c.COMPLETE])).to_pylist()}
    if rules := _rules_of(lake, release):
        for row in items.to_table(columns=[c.ITEM_ID, c.CATEGORIES, c.PRICE, c.NUMBERS]).to_pylist():
            numbers = dict(row[c.NUMBERS] or ())
            if not may_be_shown(rules, row[c.ITEM_ID], row[c.CATEGORIES] or (), row[c.PRICE], numbers):
                found.add(row[c.ITEM_ID])
    return sorted(found)


def _rules_of(lake: Lake, release: Release) -> tuple[ListRule, ...]:
    run = lake.run_dir(release.run_id) / "run.json"
    own = Configuration.from_run(read_json(run)["config"]).section("scoring", ScoringSettings).rules if run.exists() else ()
    return (*own, *read_rules(lake, release.list_rules_version))
