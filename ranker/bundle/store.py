"""Writing a bundle: all files under the sha256 of their manifest, there whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.as_of import Cumulative
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features, plugins_of
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.plugins import ENCODERS, FEATURES, origin
from nightrank.feature_store.contracts.process import OWNER, is_left_over, this_process
from nightrank.feature_store.contracts.storage import Location, locate, workplace
from nightrank.ranker.bundle import files as files
from nightrank.ranker.bundle.files import BundleInfo, ItemNumber
from nightrank.ranker.config.encoders import PluginEncoderConfig
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.model import IDS, Ranker
from nightrank.ranker.tables.row_files import StoredRows
from nightrank.ranker.tensor_file import Writable

WRITING: Final = ".writing-"


def save_bundle(
    folder: Path,
    ranker: Ranker,
    raw_ids: Sequence[str],
    *,
    snapshot_id: str,
    lineage: str,
    text_encoder: str | None = None,
    text_revision: str | None = None,
    default_action: int = 0,
    of_items: Cumulative | None = None,
    item_numbers: Sequence[ItemNumber] = (),
    by_row: Mapping[str, StoredRows] | None = None,
) -> str:
    """Writes the ranker with its vocabulary (raw ids in dense order from 1) to `folder`; returns the manifest's sha256.
    `of_items` are the items' cumulative sums where the ranker reads them, `item_numbers` what its numbers mean.
    `by_row` are the weights and matrices of which no rank holds every row: `weight`, `items`, `inputs`."""
    shapes = ranker.shapes
    if len(raw_ids) != shapes.items:
        raise DataContractError(
            f"{len(raw_ids)} raw ids for a ranker of {shapes.items} items", "pass the item vocabulary in dense order"
        )
    info = BundleInfo(
        ranker=ranker.config,
        **vars(shapes),
        snapshot_id=snapshot_id,
        lineage=lineage,
        text_encoder=text_encoder,
        text_revision=text_revision,
        default_action=default_action,
        item_numbers=tuple(item_numbers) if shapes.numeric else (),
        plugins=_plugins(ranker.config, shapes.features),
    )
    matrix = _matrices(ranker, by_row)
    weights: dict[str, Writable] = {
        name: value.float() if value.is_floating_point() else value for name, value in ranker.state_dict().items()
    }
    if by_row is not None:
        weights[IDS] = by_row["weight"]
    return files.write_files(folder, info, weights, matrix, list(raw_ids), of_items)


def _plugins(config: RankerConfig, features: Features | None) -> dict[str, str]:
    """{package: version} of every plug-in that the ranker needs."""
    encoder = config.encoder
    found = origin(ENCODERS, encoder.plugin) if isinstance(encoder, PluginEncoderConfig) else {}
    return {**found, **{key: value for name in plugins_of(features) for key, value in origin(FEATURES, name).items()}}


def _matrices(ranker: Ranker, by_row: Mapping[str, StoredRows] | None) -> dict[str, Writable]:
    matrix: dict[str, Writable] = {"popularity": ranker.items.popularity.float()}
    matrix["items"] = ranker.all_item_vectors() if by_row is None else by_row["items"]
    if not ranker.head.keeps_inputs:
        matrix["inputs"] = ranker.all_input_vectors() if by_row is None else by_row["inputs"]
    return matrix


def store_bundle(models: Location, ranker: Ranker, raw_ids: Sequence[str], **facts: Any) -> str:
    """`save_bundle` to `models/<manifest sha256>`, there whole or not at all. Returns the sha256."""
    return stored(models, lambda folder: save_bundle(folder, ranker, raw_ids, **facts))


def stored(models: Location, save: Callable[[Path], str]) -> str:
    """What `save` writes to a folder is in `models` under the name it returns, completely or not at all. Returns the name.

    A folder in a bucket cannot be renamed: its manifest comes last, and without one there is no bundle.
    """
    models = locate(models)
    here = workplace(models)
    here.mkdir(parents=True, exist_ok=True)
    _sweep(here)
    writing = here / f"{WRITING}{uuid.uuid4().hex}"
    write_json(writing.with_suffix(f".{OWNER}"), this_process().to_json())
    try:
        name = save(writing)
        if not models.is_local:
            (models / name).upload_folder(writing, last=files.MANIFEST)
        elif not (here / name).exists():
            os.replace(writing, here / name)
    finally:
        shutil.rmtree(writing, ignore_errors=True)
        writing.with_suffix(f".{OWNER}").unlink(missing_ok=True)
    return name


def _sweep(models: Path) -> None:
    """Remove what processes of this machine that were killed had begun."""
    for owner in models.glob(f"{WRITING}*.{OWNER}"):
        if is_left_over(owner):
            shutil.rmtree(owner.with_suffix(""), ignore_errors=True)
            owner.unlink(missing_ok=True)
