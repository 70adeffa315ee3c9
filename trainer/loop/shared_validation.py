"""Validation where ranks share out the table of items: all of them look up, score and list together, block by block."""

from dataclasses import dataclass
from itertools import islice
from typing import Final

import torch
from torch import Tensor

from nightrank.ranker.model import Ranker
from nightrank.trainer.loop.table import TrainedTable
from nightrank.trainer.loop.validation import K, Queries, Validator
from nightrank.trainer.ranks.communicator import run_on_all_ranks
from nightrank.trainer.tables.catalogue import Query, lists

BLOCK: Final = 64
"""Batches whose lists are made at once: the catalogue passes by once for each block."""


@dataclass(frozen=True, kw_only=True)
class SharedValidator(Validator):
    """The same numbers as a Validator's, of a ranker whose items ranks share out."""

    table: TrainedTable

    def sums(self, ranker: Ranker) -> Tensor:
        """All ranks go through their batches together, also one that has no more."""
        batches, sums = self.batches(), self.zeros()
        while True:
            block = run_on_all_ranks(self.communicator, lambda: list(islice(batches, BLOCK)))
            if not any(self.communicator.gather(len(block))):
                return sums
            found = [self.queries(batch) for batch in block]
            sums += self._of_block(ranker, [query for query in found if query.history.rows])
            self.progress.moved("validating")

    def _of_block(self, ranker: Ranker, block: list[Queries]) -> Tensor:
        ids = [query.history.items_T for query in block]
        self.table.exchange.fetch(torch.cat(ids) if ids else torch.zeros(0, dtype=torch.int64), learns=False)
        users = [Query(self.users(ranker, query), query.excluded) for query in block]
        found = lists(ranker, users, K, self.communicator)
        self.table.table.forget()
        return sum((self.measured(ids, query) for ids, query in zip(found, block, strict=True)), start=self.zeros())
