"""What lists are made of, and nothing else: user encoder and head, the item matrix, the raw ids. All tensors stand in mapped
files: they are read when used, and processes of one host that score with the same bundle share their pages.

Shapes: B rows, I1 = items + 1 (row 0 padding, zeros), d width, K list length.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import torch
from torch import Tensor, nn

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import plugins_of
from nightrank.feature_store.contracts.plugins import FEATURES, check_installed
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle import files as files
from nightrank.ranker.bundle.files import BundleInfo
from nightrank.ranker.compose import Head, compose_empty
from nightrank.ranker.encoders.base import UserEncoder
from nightrank.ranker.inputs import ItemShapes
from nightrank.ranker.model import Ranker, last_states
from nightrank.ranker.retrieval.listing import best_items, scores_of
from nightrank.ranker.retrieval.topk import Exclusions

USER_SIDE: Final = ("encoder.", "head.")
"""Prefixes of the weights that a score needs beside the item matrix."""


@dataclass(frozen=True)
class Scorer:
    """A bundle's user side over its catalogue, in evaluation mode on the CPU."""

    info: BundleInfo
    manifest_sha256: str
    folder: Path
    vocabulary: pa.StringArray
    """Raw id of dense id i is at i - 1."""
    item_matrix: Tensor
    """[I1, head.width], as scored."""
    input_matrix: Tensor
    """[I1, d] as the encoder reads them."""
    encoder: UserEncoder
    head: Head

    def user_vectors(self, batch: Batch) -> Tensor:
        """[B, head.width] fp32 of each row's newest `max_length` tokens; zeros for an empty row. DataContractError for an id
        that is not in the bundle."""
        newest = batch.newest(self.info.ranker.encoder.max_length)
        self._check_ids(newest.items_T)
        with torch.no_grad():
            query = self.encoder.query_batch(newest)
            states_Td = self.head.query(self.encoder(self.input_matrix.index_select(0, query.items_T), query))
            return last_states(states_Td, query).float()

    def best(
        self, batch: Batch, k: int, excluded: Exclusions | None = None, eligible_I: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`nightrank.ranker.retrieval.listing.best_items` for the batch's histories."""
        return best_items(self.head, self.user_vectors(batch), self.item_matrix, k, excluded, eligible_I)

    def scores_of(self, queries: Tensor, ids_BK: Tensor) -> Tensor:
        """[B, K] fp32: the score of each row's own items, for queries that `user_vectors` gave."""
        return scores_of(self.head, queries, self.item_matrix, ids_BK)

    def _check_ids(self, items_T: Tensor) -> None:
        if len(items_T) and not 1 <= int(items_T.min()) <= int(items_T.max()) <= self.info.items:
            low, high = int(items_T.min()), int(items_T.max())
            raise DataContractError(
                f"histories name item ids {low}..{high}, the bundle's table has 1..{self.info.items}",
                "leave out the ids that are newer than the model, or run a night that includes them",
            )


def load_scorer(folder: Path, expected: str | None = None) -> Scorer:
    """The scorer of the bundle in `folder`, the whole bundle's manifest checked (against `expected` where given). Weights of
    the items' side are not read. DataContractError names what is wrong, ConfigError a plug-in that is not installed."""
    name = files.verify_manifest(folder, expected)
    info = files.read_info(folder)
    own = plugins_of(info.features)
    check_installed(info.plugins, f"bundle {folder.name}" + (f" with {', '.join(own)} of {FEATURES}" if own else ""))
    ranker = compose_empty(info.ranker, shapes_of(info))
    rows, head = info.items + 1, ranker.head
    inputs = {} if head.keeps_inputs else {"inputs": (rows, info.ranker.width)}
    matrix = files.read_tensors(folder / files.MATRIX, {"items": (rows, head.width), **inputs}, ("items", *inputs))
    _take_user_side(ranker, folder / files.WEIGHTS)
    return Scorer(
        info=info,
        manifest_sha256=name,
        folder=folder,
        vocabulary=files.read_vocabulary(folder, info.items),
        item_matrix=matrix["items"],
        input_matrix=matrix["inputs"] if inputs else matrix["items"][:, : info.ranker.width],
        encoder=ranker.encoder.eval(),
        head=head.eval(),
    )


def _take_user_side(ranker: Ranker, path: Path) -> None:
    """Afterwards the weights of encoder and head are those of the file, where it is mapped. The items stay empty."""
    shapes = files.shapes_in(ranker)
    weights = files.read_tensors(path, shapes, [key for key in shapes if key.startswith(USER_SIDE)])
    modules: tuple[nn.Module, nn.Module] = (ranker.encoder, ranker.head)
    for prefix, module in zip(USER_SIDE, modules, strict=True):
        own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        module.load_state_dict(own, assign=True)


def shapes_of(info: BundleInfo) -> ItemShapes:
    return ItemShapes(
        info.items, info.text_width, info.category_slots, info.categories, info.numeric, info.users, info.features
    )
