"""A bundle: everything a trained ranker needs to score histories of raw ids. Loads with torch, pyarrow and safetensors.

Shapes: B rows, I1 = items + 1 (row 0 padding, zeros), d width, K list length.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from nightrank.feature_store.as_of import Cumulative
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.bundle import files as files
from nightrank.ranker.bundle.histories import History, batch_of_histories
from nightrank.ranker.bundle.scorer import Scorer, load_scorer, shapes_of
from nightrank.ranker.compose import compose_empty, materialise, with_tower
from nightrank.ranker.growth import grow
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.ranker.model import Ranker
from nightrank.ranker.tables.row_table import NewTable

__all__ = ["Bundle", "load_bundle", "shapes_of"]

POPULAR: Final = 1000
"""Most popular items kept for histories without a known item."""


@dataclass(frozen=True)
class Bundle(Scorer):
    """A loaded bundle, in evaluation mode on the CPU: the scorer, and what serves raw ids and trains on."""

    raw_ids: list[str]
    """Raw id of dense id i is at i - 1."""
    popularity: Tensor
    """[I1] fp32: interactions in training, of every night since the full run."""

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Of the whole ranker, items' side too; mapped when asked for: lists are made without them."""
        return files.read_tensors(
            self.folder / files.WEIGHTS, files.shapes_in(compose_empty(self.info.ranker, shapes_of(self.info)))
        )

    @cached_property
    def of_items(self) -> Cumulative | None:
        """The items' cumulative sums up to the run that made the bundle, checked and read when asked for; None where the ranker
        reads none."""
        if self.info.features is None or not self.info.features.item:
            return None
        files.verify_manifest(self.folder, self.manifest_sha256, (files.ITEM_FEATURES,))
        return files.read_item_features(self.folder)

    @cached_property
    def dense_ids(self) -> dict[str, int]:
        return {raw: dense for dense, raw in enumerate(self.raw_ids, 1)}

    @cached_property
    def popular(self) -> Tensor:
        """Dense ids, most interactions in training first, equal counts by id."""
        return self.popularity[1:].sort(descending=True, stable=True).indices[:POPULAR] + 1

    def recommend(self, history: Sequence[str | int], k: int, filter_seen: bool = True) -> list[tuple[str, float]]:
        """The k best items for a history of raw ids, oldest first: (item id, score), best first."""
        return self.recommend_many([history], [k], filter_seen)[0]

    def recommend_many(
        self,
        histories: Sequence[History | Sequence[str | int]],
        ks: Sequence[int],
        filter_seen: bool = True,
        hidden: Sequence[str | int] = (),
    ) -> list[list[tuple[str, float]]]:
        """One list a history. Unknown ids are skipped; without any known id the list is popularity, scored 1, 1/2, 1/3 ...

        Items of the history are left out unless `filter_seen` is off, and those in `hidden` (what is not on sale) always. A
        list is shorter than k where the catalogue is.
        """
        eligible_I = self._without(hidden)
        told = [history if isinstance(history, History) else History(history) for history in histories]
        batch = batch_of_histories(told, self.dense_ids, self.info.default_action, self.info.features, self.of_items)
        excluded = (batch.items_T, batch.offsets_B1) if filter_seen else None
        ids_BK, scores_BK = self.best(batch, max([1, *ks]), excluded, eligible_I)
        lists = []
        for row, (length, k) in enumerate(zip(batch.lengths.tolist(), ks, strict=True)):
            pairs = (
                zip(ids_BK[row, :k].tolist(), scores_BK[row, :k].tolist(), strict=True)
                if length
                else self._popular(k, eligible_I)
            )
            lists.append([(self.raw_ids[item - 1], score) for item, score in pairs if item > 0])
        return lists

    def _without(self, hidden: Sequence[str | int]) -> Tensor:
        """[items + 1] true of every item that may be listed. Unknown ids are ignored."""
        eligible_I = torch.ones(self.info.items + 1, dtype=torch.bool)
        eligible_I[[0, *(self.dense_ids[str(raw)] for raw in hidden if str(raw) in self.dense_ids)]] = False
        return eligible_I

    def _popular(self, k: int, eligible_I: Tensor) -> list[tuple[int, float]]:
        shown = self.popular[eligible_I[self.popular]][:k]
        return [(item, 1.0 / rank) for rank, item in enumerate(shown.tolist(), 1)]

    def ranker(self, inputs: ItemInputs, text_encoder: Path | None = None, table: NewTable = nn.Embedding) -> Ranker:
        """The whole ranker in training mode, grown where `inputs` name more items than the bundle. `text_encoder` is the model
        folder the bundle's own encoder was tuned from, where it was. With a `table` of which ranks hold some rows the bundle's
        own is read from its file.

        `inputs` must extend the inputs it was trained on: those come from the snapshot, the bundle does not keep texts. Their
        popularity counts what is new, on top of the bundle's.
        """
        inputs = replace(self._counted(inputs), features=self.info.features)
        first = _first(inputs, shapes_of(self.info))
        old = with_tower(materialise(compose_empty(self.info.ranker, shapes_of(self.info)), first), first, text_encoder)
        old.load_state_dict(self.weights, assign=table is not nn.Embedding)
        grown: Ranker = grow(old, inputs, table)
        return grown

    def _counted(self, inputs: ItemInputs) -> ItemInputs:
        if inputs.popularity is None or inputs.items < self.info.items:
            return inputs
        before_I = nn.functional.pad(self.popularity, (0, inputs.items - self.info.items))
        return replace(inputs, popularity=inputs.popularity.float() + before_I)


def load_bundle(folder: Path, expected: str | None = None) -> Bundle:
    """The bundle in `folder`, its manifest checked (against `expected` where given). DataContractError names what is wrong,
    ConfigError a plug-in that is not installed."""
    scorer = load_scorer(folder, expected)
    counts = files.read_tensors(folder / files.MATRIX, {"popularity": (scorer.info.items + 1,)}, ["popularity"])
    return Bundle(**vars(scorer), raw_ids=scorer.vocabulary.to_pylist(), popularity=counts["popularity"])


def _first(inputs: ItemInputs, shapes: ItemShapes) -> ItemInputs:
    """The inputs of the bundle's own ids."""
    if inputs.items < shapes.items:
        raise DataContractError(
            f"inputs for {inputs.items} items, the bundle has {shapes.items}", "pass the inputs of the same lineage"
        )
    rows = shapes.items + 1
    codes = inputs.category_codes
    return ItemInputs(
        items=shapes.items,
        text=None if inputs.text is None else inputs.text[:rows],
        category_codes=None if codes is None else _slots(codes[:rows], shapes.category_slots),
        categories=shapes.categories,
        numeric=None if inputs.numeric is None else inputs.numeric[:rows],
        popularity=None if inputs.popularity is None else inputs.popularity[:rows],
        users=shapes.users,
        features=shapes.features,
        tokens=None if inputs.tokens is None else inputs.tokens.first(rows),
    )


def _slots(codes: Tensor, slots: int) -> Tensor:
    """The same codes in `slots` columns: a later vocabulary may need more columns than the old items did."""
    return nn.functional.pad(codes, (0, max(0, slots - codes.shape[1])))[:, :slots]
