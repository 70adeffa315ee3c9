"""The bundle of a trained ranker, in the lake under its own sha256, and the lineage it belongs to."""

from collections.abc import Mapping
from typing import Any

from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.snapshot import Normalisation
from nightrank.ranker.bundle.files import ItemNumber
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.tables.row_files import StoredRows
from nightrank.trainer.data.item_inputs import load_vocabulary
from nightrank.trainer.loop.text import text_revision
from nightrank.trainer.loop.training import Training


def export_bundle(training: Training, by_row: Mapping[str, StoredRows] | None = None) -> str:
    """`LAKE/models/<manifest sha256>` is complete; returns the sha256. The same weights give the same bytes.
    `by_row` are those that ranks share out."""
    snapshot = training.snapshot
    facts: dict[str, Any] = {
        "snapshot_id": snapshot.id,
        "lineage": training.lineage,
        "text_encoder": training.job.text.encoder,
        "text_revision": text_revision(training.ranker, snapshot.text_revision),
        "default_action": snapshot.filter_seen_actions[0] if snapshot.filter_seen_actions else 0,
        "item_numbers": item_numbers(snapshot.normalisation),
        "by_row": by_row,
        "of_items": None if training.features is None else training.features.item,
    }
    models = training.job.lake.bundles
    return store_bundle(models, training.ranker, load_vocabulary(snapshot, training.job.lake.root), **facts)


def item_numbers(constants: Normalisation) -> tuple[ItemNumber, ...]:
    columns = zip(constants.numeric, constants.mean, constants.std, strict=True)
    return tuple(ItemNumber(name=name, mean=mean, std=std) for name, mean, std in columns)


def lineage_of(raw_ids: list[str]) -> str:
    """Name of the family of models that starts from this vocabulary."""
    return sha256_of(raw_ids)
