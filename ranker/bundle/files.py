"""The files of a bundle: written with a manifest of sha256, read only where they match it. No pickle anywhere."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from nightrank.feature_store.as_of import Cumulative
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.files import canonical_json, sha256_file, write_atomic
from nightrank.feature_store.contracts.manifests import listed
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.tensor_file import Writable, write_tensors

CONFIG: Final = "config.json"
WEIGHTS: Final = "weights.safetensors"
MATRIX: Final = "item_matrix.safetensors"
VOCABULARY: Final = "item_vocabulary.parquet"
ITEM_FEATURES: Final = "item_features.safetensors"
"""Only where the ranker reads aggregates of items: their cumulative daily sums."""
MANIFEST: Final = "manifest.json"
FILES: Final = (CONFIG, WEIGHTS, MATRIX, VOCABULARY)
REMEDY: Final = "download the bundle from the registry again, or register the run again"

Tensors = dict[str, torch.Tensor]


class ItemNumber(FrozenConfig):
    name: str
    mean: float
    std: float


class BundleInfo(FrozenConfig):
    """`config.json`: what the weights are of and where they come from."""

    schema_version: int = 1
    ranker: RankerConfig
    items: int
    text_width: int
    category_slots: int
    categories: int
    numeric: int
    users: int = 0
    snapshot_id: str
    lineage: str
    """sha256 of the first vocabulary of this family of models."""
    text_encoder: str | None = None
    text_revision: str | None = None
    plugins: dict[str, str] = {}
    """package -> version of the plug-in that the user encoder comes from; it must be installed to load the bundle."""
    default_action: int = 0
    """Action code of a history that comes without actions."""
    features: Features | None = None
    """What the ranker reads of users and items as of each event; None: nothing."""

    item_numbers: tuple[ItemNumber, ...] = ()
    """Columns of the items' numbers, in their order, with what they were standardised by."""

    @property
    def body(self) -> dict[str, Any]:
        """What is written. A bundle without features or numbers reads as it did before there were any."""
        body: dict[str, Any] = self.model_dump(mode="json")
        absent = {"features": self.features is None, "item_numbers": not self.item_numbers}
        return {name: value for name, value in body.items() if not absent.get(name, False)}


def write_files(
    folder: Path,
    info: BundleInfo,
    weights: Mapping[str, Writable],
    matrix: Mapping[str, Writable],
    raw_ids: list[str],
    of_items: Cumulative | None = None,
) -> str:
    """All files, the manifest last. Returns the sha256 of the manifest: the same content gives the same name. `of_items` are
    the sums that the items' aggregates are looked up in, where the ranker reads any."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / CONFIG, canonical_json(info.body))
    write_tensors(folder / WEIGHTS, weights)
    write_tensors(folder / MATRIX, matrix)
    dense = pa.array(range(1, len(raw_ids) + 1), pa.int32())
    pq.write_table(pa.table({c.RAW_ID: pa.array(raw_ids, pa.string()), c.DENSE_ID: dense}), folder / VOCABULARY)
    if of_items is not None:
        write_tensors(folder / ITEM_FEATURES, _to_tensors(of_items))
    return write_manifest(folder, files_of(info) if of_items is not None else FILES)


def files_of(info: BundleInfo) -> tuple[str, ...]:
    """The files of a bundle that says so of itself."""
    return (*FILES, ITEM_FEATURES) if info.features is not None and info.features.item else FILES


def _to_tensors(table: Cumulative) -> Tensors:
    columns = {"entities": table.entities, "days": table.days, "sums": table.sums}
    return {name: torch.from_numpy(values) for name, values in columns.items()}


def read_item_features(folder: Path) -> Cumulative:
    found = load_file(folder / ITEM_FEATURES)
    return Cumulative(found["entities"].numpy(), found["days"].numpy(), found["sums"].numpy())


def write_manifest(folder: Path, files: tuple[str, ...] = FILES) -> str:
    """The last file of a bundle. Returns its sha256."""
    write_atomic(folder / MANIFEST, canonical_json({name: sha256_file(folder / name) for name in files}))
    return sha256_file(folder / MANIFEST)


def verify_manifest(folder: Path, expected: str | None = None, files: tuple[str, ...] = FILES) -> str:
    """The manifest's sha256, after every file was found to match. DataContractError naming the file otherwise."""
    path = folder / MANIFEST
    if not path.exists():
        raise DataContractError(f"bundle {folder.name}: {MANIFEST} is missing", REMEDY)
    name = sha256_file(path)
    if expected is not None and name != expected:
        raise DataContractError(f"bundle {folder.name}: {MANIFEST} has sha256 {name}, not {expected}", REMEDY)
    try:
        manifest = listed(folder)
    except ValueError:
        raise DataContractError(f"bundle {folder.name}: {MANIFEST} is not JSON", REMEDY) from None
    for file in files:
        if file not in manifest:
            raise DataContractError(f"bundle {folder.name}: {MANIFEST} does not name {file}", REMEDY)
        if not (folder / file).exists():
            raise DataContractError(f"bundle {folder.name}: {file} is missing", REMEDY)
        if sha256_file(folder / file) != manifest[file]:
            raise DataContractError(f"bundle {folder.name}: {file} was changed after it was written", REMEDY)
    return name


def read_info(folder: Path) -> BundleInfo:
    return BundleInfo.model_validate_json((folder / CONFIG).read_bytes())


def shapes_in(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def read_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], wanted: Iterable[str] | None = None) -> Tensors:
    """The tensors of the file that are `wanted` (all by default), mapped: read from the disk when used. Those in `shapes` must
    be there with that shape."""
    try:
        with safe_open(path, framework="pt") as file:
            stored = {*file.keys()}
            for name, shape in shapes.items():
                _check_shape(path, name, tuple(file.get_slice(name).get_shape()) if name in stored else None, shape)
            return {name: file.get_tensor(name) for name in (sorted(stored) if wanted is None else wanted)}
    except SafetensorError as error:
        raise DataContractError(f"bundle {path.parent.name}: {path.name} cannot be read ({error})", REMEDY) from None


def _check_shape(path: Path, name: str, found: tuple[int, ...] | None, shape: tuple[int, ...]) -> None:
    if found != shape:
        state = "is missing" if found is None else f"has shape {list(found)}"
        raise DataContractError(
            f"bundle {path.parent.name}: {path.name}: tensor {name} {state} where {CONFIG} says {list(shape)}", REMEDY
        )


def read_vocabulary(folder: Path, items: int) -> pa.StringArray:
    """Raw ids in dense order from id 1."""
    table = pq.read_table(folder / VOCABULARY)
    if not np.array_equal(table[c.DENSE_ID].to_numpy(), np.arange(1, items + 1)):
        raise DataContractError(f"bundle {folder.name}: {VOCABULARY} does not hold the dense ids 1..{items} in order", REMEDY)
    return table[c.RAW_ID].combine_chunks().cast(pa.string())
