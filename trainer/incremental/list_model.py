"""Which model makes a run's lists where the champion stays: a copy of it that knows the items that came since."""

from dataclasses import replace
from pathlib import Path

import torch

from nightrank.feature_store.contracts.champion import parent_of
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, load_snapshot
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.text_model import text_model
from nightrank.ranker.bundle.bundle import Bundle
from nightrank.ranker.bundle.grown_copy import store_grown_copy
from nightrank.trainer.data.item_inputs import load_item_inputs, load_vocabulary
from nightrank.trainer.incremental.growth import champion as champion_bundle
from nightrank.trainer.incremental.growth import check_extends
from nightrank.trainer.loop.text import base_revision


def write_list_model(context: StageContext, champion: ModelRef, snapshot: DatasetSnapshot) -> str:
    """`R/list_model.json` names a copy of the champion with a row for every item of the snapshot, if there are new ones.

    Returns a sentence about the new items; empty where there are none. Where the copy cannot be made the champion makes the
    lists as it is, and the sentence says why.
    """
    path = context.run_dir / LIST_MODEL
    path.unlink()
    new = snapshot.items - champion.vocabulary_items
    if new <= 0:
        return ""
    try:
        manifest = _copy(context, champion, snapshot)
    except DataContractError as error:
        return f"{new} new items are not in the lists: {error.message}"
    bundle = (context.lake.bundles / manifest).below(context.root)
    grown = {"manifest_sha256": manifest, "bundle": bundle, "vocabulary_items": snapshot.items, "alias": None}
    with context.commit():
        champion.model_copy(update=grown).save(path)
    return f"{new} new items are scored by a copy of version {champion.version} that is otherwise the same"


def _copy(context: StageContext, champion: ModelRef, snapshot: DatasetSnapshot) -> str:
    bundle = champion_bundle(context.root, parent_of(champion))
    raw_ids = load_vocabulary(snapshot, context.root)
    check_extends(bundle, raw_ids)
    _check_same_features(bundle, snapshot, context.lake.snapshot(champion.snapshot_id))
    reads_texts = bundle.info.ranker.reads_texts and snapshot.text_width > 0
    inputs = load_item_inputs(snapshot, context.root, with_tokens=reads_texts)
    inputs = replace(inputs, popularity=torch.zeros(snapshot.items + 1))
    folder = _text_folder(context, snapshot) if reads_texts else None
    return store_grown_copy(context.lake.bundles, bundle, inputs, raw_ids, folder)


def _check_same_features(bundle: Bundle, snapshot: DatasetSnapshot, before: Location) -> None:
    """DataContractError where a feature column means something else than when the champion was trained."""
    known, now = base_revision(bundle.info.text_revision), snapshot.text_revision
    if bundle.info.text_width and known != now:
        raise DataContractError("their texts are encoded by another revision than the champion's", "train a full run")
    if not before.exists():
        raise DataContractError("the champion's snapshot is gone, so its item features are not known", "train a full run")
    old, new = load_snapshot(before).normalisation, snapshot.normalisation
    if (old.numeric, old.mean, old.std) != (new.numeric, new.mean, new.std):
        raise DataContractError("their numbers are scaled differently from the champion's", "train a full run")
    if new.categories[: len(old.categories)] != old.categories:
        raise DataContractError("their categories are coded differently from the champion's", "train a full run")


def _text_folder(context: StageContext, snapshot: DatasetSnapshot) -> Path:
    found = text_model(context.section("text", TextSettings))
    if found is None or found.revision != snapshot.text_revision:
        raise DataContractError("text.encoder is not the encoder of their texts", "set the previous text.encoder")
    return found.folder
