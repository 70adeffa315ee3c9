"""Validation of a click ranker on a part of the snapshot, sharded over the ranks. Shapes: N rows, A actions."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.ctr.compose import CtrRanker
from nightrank.ranker.metrics.ctr import by_action, mean_over_actions, told_apart
from nightrank.trainer.ctr.fit import Probabilities, probabilities
from nightrank.trainer.data.impressions import ImpressionSource
from nightrank.trainer.ranks.communicator import Communicator, run_on_all_ranks
from nightrank.trainer.ranks.watchdog import Progress

Figures = dict[str, float]
NO_LABEL = -1.0


@dataclass(frozen=True)
class CtrValidator:
    """The same figures on every rank, and for any number of ranks."""

    source: ImpressionSource
    """`source.rank` and `world_size` are the communicator's; it may be a sample of the part."""
    communicator: Communicator
    progress: Progress

    def __call__(self, ranker: CtrRanker) -> Figures:
        """`auc` and `log_loss`, each the mean over the labels that have both answers among the rows, `<label>/auc` and
        `<label>/log_loss` of each of those, and `n`. DataContractError where no label has.

        Every rank takes rank 0's running statistics (batch norm): those are the ones that are measured and kept.
        """
        self.communicator.broadcast([buffer for buffer in ranker.buffers() if buffer.is_floating_point()])
        found = run_on_all_ranks(self.communicator, lambda: self._scored(ranker))
        # Each row was filled in by the one rank that read it; the sum is all of them.
        self.communicator.allreduce_sum(found)
        scores_NA, labels_NA = found.numpy().reshape(len(found), 2, -1).transpose(1, 0, 2)
        return self._figures(ranker.shapes.labels, scores_NA, labels_NA)

    def _scored(self, ranker: CtrRanker) -> Tensor:
        """[N, 2 A] probabilities and labels of this rank's rows, zeros elsewhere."""
        actions, at = len(ranker.shapes.labels), sum(self._shares()[: self.source.rank])
        found = torch.zeros(sum(self._shares()), 2 * actions)
        for batch in self.source.batches(0, 0):
            rows = slice(at, at + batch.rows)
            found[rows, :actions] = torch.from_numpy(probabilities(ranker, batch))
            found[rows, actions:] = torch.nan_to_num(batch.labels_BA, nan=NO_LABEL)
            at += batch.rows
            self.progress.moved("validating")
        return found

    def _shares(self) -> list[int]:
        """Rows each rank reads."""
        plan = self.source.plan(0)
        return [plan.rank_rows(rank) for rank in range(self.source.world_size)]

    def _figures(self, labels: tuple[str, ...], scores_NA: Probabilities, labels_NA: Probabilities) -> Figures:
        known_NA = np.where(labels_NA == NO_LABEL, np.nan, labels_NA)
        each = by_action(labels, scores_NA, known_NA)
        each = {label: figures for label, figures in each.items() if not np.isnan(figures["auc"])}
        if not each:
            raise DataContractError(
                f"the {len(labels_NA)} rows of {self.source.part} hold only one value of each label ({', '.join(labels)})",
                "validate on more rows: training_set.valid_days and test_days, or impressions.days",
            )
        return {"n": float(len(labels_NA)), **told_apart(each), **mean_over_actions(each)}
