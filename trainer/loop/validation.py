"""Validation: NDCG@10 and Recall@10 over the evaluation rows of one part, sharded over the ranks, reduced as sums and counts.

Shapes: B rows, T tokens, d width.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.batch import Batch
from nightrank.ranker.features import FeatureTables
from nightrank.ranker.metrics.ranking import per_row
from nightrank.ranker.model import Ranker, evaluating, every_row
from nightrank.ranker.retrieval.listing import best_items
from nightrank.trainer.config.training import ValidationConfig
from nightrank.trainer.data.epoch import iter_part
from nightrank.trainer.ranks.communicator import Communicator, run_on_all_ranks
from nightrank.trainer.ranks.device import Device
from nightrank.trainer.ranks.watchdog import Progress

K = 10
DAY_MICROSECONDS = 86_400_000_000
NAMES = (f"ndcg@{K}", f"recall@{K}")

Ragged = tuple[Tensor, Tensor]
"""(flat ids, offsets [B + 1])"""


@dataclass(frozen=True)
class Validator:
    """Measures a ranker on `part`; the same numbers on every rank, and the same for any number of ranks."""

    snapshot: DatasetSnapshot
    tables: Location
    part: PartName
    config: ValidationConfig
    communicator: Communicator
    device: Device
    progress: Progress
    features: FeatureTables | None = None

    def __call__(self, ranker: Ranker) -> dict[str, float]:
        """{"ndcg@10", "recall@10", "n"}: means over the rows that have a target left, and their number."""
        with torch.no_grad(), evaluating(ranker):
            sums = self.sums(ranker)
        self.communicator.allreduce_sum(sums)
        *totals, n = sums.tolist()
        return {**{name: total / n if n else 0.0 for name, total in zip(NAMES, totals, strict=True)}, "n": n}

    def sums(self, ranker: Ranker) -> Tensor:
        """Of this rank's rows."""
        return run_on_all_ranks(self.communicator, lambda: self._sums(ranker))

    def zeros(self) -> Tensor:
        return torch.zeros(len(NAMES) + 1, dtype=torch.float64)

    def _sums(self, ranker: Ranker) -> Tensor:
        items = ranker.all_item_vectors()
        sums = self.zeros()
        for batch in self.batches():
            query = self.queries(batch)
            if query.history.rows:
                with every_row(ranker):
                    users = self.users(ranker, query)
                ids, _ = best_items(ranker.head, users, items, K, query.excluded)
                sums += self.measured(ids, query)
            self.progress.moved("validating")
        return sums

    def queries(self, batch: Batch) -> "Queries":
        return queries(batch, self.snapshot)

    def users(self, ranker: Ranker, query: "Queries") -> Tensor:
        """[B, width] fp32: what items are scored against."""
        history = query.history if self.features is None else self.features.fill(query.history)
        with self.device.autocast():
            return ranker.user_vectors(history.to(self.device.torch_device)).float()

    def measured(self, ids: Tensor, query: "Queries") -> Tensor:
        """What lists of these ids add to the sums."""
        rows = per_row(ids.cpu().numpy(), query.targets[0].numpy(), query.targets[1].numpy(), ks=(K,))
        return torch.tensor([float(np.sum(rows[name])) for name in NAMES] + [query.history.rows], dtype=torch.float64)

    def batches(self) -> Iterator[Batch]:
        """This rank's share of the first `max_rows` rows: a uniform sample, as rows are sorted by a hash of the user."""
        return iter_part(
            self.snapshot,
            self.tables,
            self.part,
            batch_rows=self.config.batch_rows,
            rank=self.communicator.rank,
            world_size=self.communicator.size,
            most_rows=self.config.max_rows,
        )


@dataclass(frozen=True)
class Queries:
    """Evaluation rows ready to be ranked: inputs, excluded items and targets."""

    history: Batch
    excluded: Ragged
    targets: Ragged
    kept_B: Tensor
    """Which rows of the batch these are."""


def queries(batch: Batch, snapshot: DatasetSnapshot) -> Queries:
    """The rule of the interfaces page: positions before `loss_from` with a filtered action (and young enough) are excluded;
    targets among them are dropped, and rows that have none left with them."""
    position_T, row_T = batch.position_T, batch.row_T
    is_target_T = position_T >= batch.loss_from_B[row_T]
    seen_T = ~is_target_T & torch.isin(batch.actions_T, torch.tensor(snapshot.filter_seen_actions, dtype=torch.int64))
    if snapshot.filter_seen_days is not None:
        first_B = batch.times_T[(batch.offsets_B1[:-1] + batch.loss_from_B).clamp_max(max(batch.tokens - 1, 0))]
        seen_T &= batch.times_T >= (first_B - snapshot.filter_seen_days * DAY_MICROSECONDS)[row_T]
    span = int(batch.items_T.max()) + 1 if batch.tokens else 1
    key_T = row_T * span + batch.items_T
    wanted_T = is_target_T & ~torch.isin(key_T, key_T[seen_T])
    kept_B = torch.bincount(row_T[wanted_T], minlength=batch.rows) > 0
    history = batch.cut_at().rows_where(kept_B)
    return Queries(history, _ragged(batch, seen_T, kept_B), _ragged(batch, wanted_T, kept_B), kept_B)


def _ragged(batch: Batch, mask_T: Tensor, kept_B: Tensor) -> Ragged:
    mask_T = mask_T & kept_B[batch.row_T]
    counts_B = torch.bincount(batch.row_T[mask_T], minlength=batch.rows)[kept_B]
    return batch.items_T[mask_T], torch.cat([counts_B.new_zeros(1), counts_B.cumsum(0)])
