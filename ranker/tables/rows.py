"""Which rows of a table a rank holds: row i belongs to rank i mod N.

So ranks hold equally many rows, popular or not, and a table that grows gives every rank new rows at its end: no old row moves.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """The rows of one rank of `ranks`, of a table of `total` rows."""

    total: int
    rank: int = 0
    ranks: int = 1

    @property
    def count(self) -> int:
        return len(range(self.rank, self.total, self.ranks))

    def ids(self, device: torch.device | str = "cpu") -> Tensor:
        """Row numbers that this rank holds, ascending; the one at place p is number p of them."""
        return torch.arange(self.rank, self.total, self.ranks, device=device)

    def owner(self, ids: Tensor) -> Tensor:
        return ids % self.ranks

    def place(self, ids: Tensor) -> Tensor:
        """Where their owners hold them."""
        return ids // self.ranks

    def mine(self, ids: Tensor) -> Tensor:
        """Bool, which of them this rank holds."""
        return self.owner(ids) == self.rank

    def between(self, first: int, last: int) -> tuple[int, int]:
        """The places of this rank's rows with numbers in [first, last)."""
        return tuple(max(0, -(-(edge - self.rank) // self.ranks)) for edge in (first, last))  # type: ignore[return-value]
