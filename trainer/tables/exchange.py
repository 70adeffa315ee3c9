"""How the rows of a table travel: to the ranks whose step looks them up, and their gradients back to whoever holds them.

Shapes: U distinct rows of this rank's step, W rows that ranks want of this one, H distinct ones of them, L rows held, d width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nightrank.ranker.tables.row_table import Fetched, RowTable
from nightrank.trainer.ranks.communicator import Communicator


@dataclass(frozen=True)
class RowGradient:
    """The gradient of some held rows, summed over all ranks."""

    places_H: Tensor
    """Ascending; every place where all rows were touched."""
    values_Hd: Tensor

    def square(self) -> float:
        """The sum of squares."""
        return float(torch.linalg.vector_norm(self.values_Hd)) ** 2


@dataclass(frozen=True)
class _Way:
    """Who wanted what in a fetch; gradients go the same way back."""

    order_U: Tensor
    """The step's rows, those held by rank 0 first."""
    per_owner: list[int]
    """How many of them each rank holds."""
    wanted_W: Tensor
    """Places of rows held here that ranks want, those of rank 0 first."""
    served: list[int]


class RowExchange:
    """Of one table. Every call but `discard` is made by all ranks together, once a step."""

    def __init__(self, table: RowTable, communicator: Communicator) -> None:
        self.table, self._communicator = table, communicator
        self._way: _Way | None = None

    @property
    def sharded(self) -> bool:
        return self.table.rows.ranks > 1

    def fetch(self, ids: Tensor, learns: bool = True) -> None:
        """The rows of these ids can be looked up here, and row 0, which stands for no item or a hidden one."""
        ids_U = torch.unique(torch.nn.functional.pad(ids.to(self.table.weight.device), (1, 0)))
        rows_Ud = self._from_owners(ids_U) if self.sharded else self.table.weight.detach().index_select(0, ids_U)
        self.table.fetched = Fetched(ids_U, rows_Ud.requires_grad_(learns))

    def _from_owners(self, ids_U: Tensor) -> Tensor:
        rows, weight = self.table.rows, self.table.weight.detach()
        owner_U = rows.owner(ids_U)
        order_U = torch.argsort(owner_U, stable=True)
        per_owner = torch.bincount(owner_U, minlength=rows.ranks).tolist()
        wanted, served = self._communicator.alltoall(ids_U[order_U], per_owner)
        self._way = _Way(order_U, per_owner, rows.place(wanted), served)
        came_Ud, _ = self._communicator.alltoall(weight.index_select(0, self._way.wanted_W), served)
        return torch.empty_like(came_Ud).index_copy_(0, order_U, came_Ud)

    def push(self) -> RowGradient:
        """After backward: the gradient of the rows held here, from all ranks' steps. What was fetched is forgotten."""
        fetched, dense_Ld = self.table.fetched, self.table.gradient_of_columns
        assert fetched is not None
        mine_Ud = fetched.rows_Ud.grad
        mine_Ud = torch.zeros_like(fetched.rows_Ud) if mine_Ud is None else mine_Ud
        self.table.forget()
        if dense_Ld is not None and not self.sharded:
            dense_Ld.index_add_(0, fetched.ids_U, mine_Ud)
            self._communicator.allreduce_sum(dense_Ld)
            return _of_every_row(dense_Ld)
        places_W, values_Wd = self._to_owners(mine_Ud) if self.sharded else self._to_all(fetched.ids_U, mine_Ud)
        if dense_Ld is not None:
            return _of_every_row(dense_Ld.index_add_(0, places_W, values_Wd))
        places_H, where_W = torch.unique(places_W, return_inverse=True)
        values_Hd = values_Wd.new_zeros(len(places_H), values_Wd.shape[1]).index_add_(0, where_W, values_Wd)
        return RowGradient(places_H, values_Hd)

    def _to_owners(self, mine_Ud: Tensor) -> tuple[Tensor, Tensor]:
        assert self._way is not None
        way, self._way = self._way, None
        values_Wd, _ = self._communicator.alltoall(mine_Ud.index_select(0, way.order_U), way.per_owner)
        return way.wanted_W, values_Wd

    def _to_all(self, ids_U: Tensor, mine_Ud: Tensor) -> tuple[Tensor, Tensor]:
        """Every rank's touched rows reach every rank, in the same order: the sums are the same bits on all."""
        size = self._communicator.size
        if size == 1:
            return ids_U, mine_Ud
        counts = [len(ids_U)] * size
        places_W, _ = self._communicator.alltoall(ids_U.repeat(size), counts)
        values_Wd, _ = self._communicator.alltoall(mine_Ud.repeat(size, 1), counts)
        return places_W, values_Wd

    def discard(self) -> None:
        """The gradient of a broken step counts for nothing."""
        if self.table.fetched is not None:
            self.table.fetched.rows_Ud.grad = None


def _of_every_row(values_Ld: Tensor) -> RowGradient:
    return RowGradient(torch.arange(len(values_Ld), device=values_Ld.device), values_Ld)
