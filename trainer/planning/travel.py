"""What a step moves of a table that ranks hold or exchange by row."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from nightrank.ranker.model import Ranker
from nightrank.ranker.tables.row_table import Fetched, RowTable
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.distx.fake import fake_tensors
from nightrank.trainer.loop.table import optimizer_name

COPIES: Final = 4
"""Of each fetched row at once: the row, its gradient, and both as they travel."""


@dataclass(frozen=True)
class Travel:
    """Bytes of one rank; nothing where the table is an ordinary parameter."""

    held: int = 0
    sent: int = 0
    dense: int = 0
    """A gradient of every held row, where the optimizer or the loss makes one."""

    @classmethod
    def of(cls, config: TrainerConfig, ranker: Ranker, ranks: int) -> "Travel":
        """In a step of full batches of the longest histories, each item a different one."""
        table = ranker.row_table
        if table is None:
            return cls()
        row, rows = 4 * table.width, _looked_up(config, table.rows.total)
        shared = table.rows.ranks > 1
        sent = (8 + 2 * row) * rows * (ranks - 1) / ranks if shared else (8 + row) * rows * (ranks - 1)
        dense = table.weight.nbytes if optimizer_name(config) == "adamw" or config.loss.name == "full_softmax" else 0
        return cls(COPIES * row * rows, round(sent), dense)


def fetch_fake(table: RowTable, ids: Tensor) -> None:
    """The table has the rows of these ids, without memory."""
    distinct = torch.unique(torch.nn.functional.pad(ids, (1, 0)))
    with fake_tensors():
        table.fetched = Fetched(distinct, torch.empty(len(distinct), table.width, requires_grad=True))


def _looked_up(config: TrainerConfig, most: int) -> int:
    """Rows of the table in a step of a rank."""
    loss = config.loss
    drawn = loss.negatives * (loss.hard_pool if loss.sampling == "hard" else 1)
    negatives = 0 if loss.name == "full_softmax" or loss.sampling == "in_batch" else drawn
    return min(most, config.batch_rows * config.model.encoder.max_length + negatives)
