"""Lists for whom no list was released: a session's history, or nobody known. Made by the released model, without Spark."""

from collections.abc import Sequence
from typing import Any, Final

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.storage import local_folder
from nightrank.feature_store.contracts.tables import ITEMS
from nightrank.pipeline.checks.lists import off_sale

FROM_HISTORY: Final = "session"
POPULAR: Final = "popular"
"""What `fallback` of such a row says: the list follows the history given, or is what most users want."""


def anonymous_list(lake: Lake, release: Release, history: Sequence[str], k: int) -> list[dict[str, Any]]:
    """Up to `k` rows (rank, item_id, score, fallback), best first, of the release's model for a history, oldest item first.

    Without an item that the model knows they are the most popular ones, scored 1, 1/2, 1/3 ... What is not on sale is in none.
    DataContractError where the release's bundle is gone or broken.
    """
    from nightrank.ranker.bundle.bundle import load_bundle  # torch: a released list does without

    bundle = load_bundle(local_folder(lake.bundles / release.manifest_sha256), release.manifest_sha256)
    known = any(item in bundle.dense_ids for item in history)
    listed = bundle.recommend_many([list(history)], [k], hidden=_off_sale(lake))[0]
    how = FROM_HISTORY if known else POPULAR
    return [{c.RANK: rank, c.ITEM_ID: item, c.SCORE: score, c.FALLBACK: how} for rank, (item, score) in enumerate(listed, 1)]


def _off_sale(lake: Lake) -> list[str]:
    """Ids of items that the catalogue calls unavailable, or that its newest complete export lacks."""
    table = delta_read.newest(lake, ITEMS.name)
    if table is None:
        return []
    items = delta_read.dataset(lake, ITEMS.name, delta_read.file_paths(table), ITEMS.schema)
    found: list[str] = off_sale(items.to_table(columns=[c.ITEM_ID, c.AVAILABLE, c.LISTED, c.COMPLETE])).to_pylist()
    return found
