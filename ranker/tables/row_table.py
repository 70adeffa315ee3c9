"""An embedding table of which a rank holds its own rows, and in each step a copy of the rows that the step looks up.

Shapes: L rows held, U rows fetched, N ids asked for, d width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nightrank.ranker.tables.rows import Rows


@dataclass(frozen=True)
class Fetched:
    """The rows that one step looks up."""

    ids_U: Tensor
    """Distinct, ascending."""
    rows_Ud: Tensor
    """A leaf: what backward leaves in its `.grad` is the gradient of these rows."""

    def look_up(self, ids_N: Tensor) -> Tensor:
        if len(self.ids_U) == 0:
            assert len(ids_N) == 0, "ids are looked up, and no row was fetched"
            return self.rows_Ud.new_zeros(0, self.rows_Ud.shape[1])
        place_N = torch.searchsorted(self.ids_U, ids_N).clamp_max(len(self.ids_U) - 1)
        missing_N = self.ids_U[place_N] != ids_N
        assert not bool(missing_N.any()), f"row {int(ids_N[missing_N][0])} is looked up and was not fetched"
        return functional.embedding(place_N, self.rows_Ud)


class RowTable(nn.Module):
    """Stands where `nn.Embedding` would. Its weight has no gradient of its own, so no optimizer of dense weights sees it.

    `weight` [L, d] holds the rows of `rows`. A look-up reads `fetched`, or within `columns` the held rows themselves.
    """

    def __init__(self, rows: Rows, width: int) -> None:
        super().__init__()
        self.rows, self.width = rows, width
        self.weight = nn.Parameter(torch.empty(rows.count, width), requires_grad=False)
        self.fetched: Fetched | None = None
        self._columns: Tensor | None = None
        self._leaf: Tensor | None = None

    @property
    def num_embeddings(self) -> int:
        """Of the whole table."""
        return self.rows.total

    def forward(self, ids_N: Tensor) -> Tensor:
        """[N, d]."""
        if self._columns is not None:
            return self._columns.index_select(0, self.rows.place(ids_N))
        assert self.fetched is not None, "fetch the rows of a table before they are looked up"
        return self.fetched.look_up(ids_N)

    @contextmanager
    def columns(self) -> Iterator[None]:
        """Within it the held rows are looked up. Where gradients are recorded they are a leaf, the same one until `forget`."""
        if not torch.is_grad_enabled():
            self._columns = self.weight.detach()
        else:
            self._leaf = self._leaf if self._leaf is not None else self.weight.detach().requires_grad_()
            self._columns = self._leaf
        try:
            yield
        finally:
            self._columns = None

    @property
    def gradient_of_columns(self) -> Tensor | None:
        """[L, d] after backward; None where no held row was read as a column."""
        return None if self._leaf is None else self._leaf.grad

    def forget(self) -> None:
        """What a step fetched and learnt is gone."""
        self.fetched = self._leaf = None

    def zero_padding(self) -> None:
        """Row 0 is zeros."""
        if self.rows.rank == 0:
            self.weight[0] = 0


Table = nn.Embedding | RowTable
NewTable = Callable[[int, int], Table]
"""(rows of the whole table, width) -> the table."""
