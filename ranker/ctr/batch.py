"""What a batch of impressions is: one row each, with its context as of that time.

Shapes: B rows, F categorical fields, D numbers, A actions asked about, T history items of all rows, B1 = B + 1.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker.ctr.config import CtrShapes, FieldShape


@dataclass(frozen=True)
class ImpressionBatch:
    codes_BF: Tensor
    """int64, 0 = unknown, counted within each field."""
    numeric_BD: Tensor
    """fp32; NaN = not known."""
    labels_BA: Tensor
    """fp32 in [0, 1]; NaN = the row has no label for this action."""
    weight_B: Tensor
    history_T: Tensor | None = None
    """Codes of the field that the shapes name, oldest first; row b owns [offsets[b], offsets[b + 1])."""
    offsets_B1: Tensor | None = None

    @property
    def rows(self) -> int:
        return int(self.codes_BF.shape[0])

    @property
    def label(self) -> str:
        """For a fault: how many, and the codes of the first."""
        first = self.codes_BF[0].tolist() if self.rows else []
        return f"{self.rows} impressions, the first of codes {first}"

    @property
    def tokens(self) -> int:
        """What a step counts beside rows: items of history."""
        return 0 if self.history_T is None else int(self.history_T.shape[0])

    def to(self, device: torch.device | str) -> "ImpressionBatch":
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        there: dict[str, Any] = {name: None if value is None else value.to(device) for name, value in moved.items()}
        return ImpressionBatch(**there)

    def take(self, rows_N: Tensor) -> "ImpressionBatch":
        """The rows at these indices, in that order."""
        history, offsets = self._histories(rows_N)
        return ImpressionBatch(
            codes_BF=self.codes_BF.index_select(0, rows_N),
            numeric_BD=self.numeric_BD.index_select(0, rows_N),
            labels_BA=self.labels_BA.index_select(0, rows_N),
            weight_B=self.weight_B.index_select(0, rows_N),
            history_T=history,
            offsets_B1=offsets,
        )

    def between(self, first: int, last: int) -> "ImpressionBatch":
        """Rows [first, last): views, no copy, where there is no history."""
        if self.history_T is not None:
            return self.take(torch.arange(first, last, device=self.codes_BF.device))
        part = slice(first, last)
        return ImpressionBatch(self.codes_BF[part], self.numeric_BD[part], self.labels_BA[part], self.weight_B[part])

    def _histories(self, rows_N: Tensor) -> tuple[Tensor | None, Tensor | None]:
        if self.history_T is None or self.offsets_B1 is None:
            return None, None
        starts_N = self.offsets_B1.index_select(0, rows_N)
        lengths_N = self.offsets_B1.index_select(0, rows_N + 1) - starts_N
        ends_N = lengths_N.cumsum(0)
        total = int(ends_N[-1]) if len(ends_N) else 0
        shift_T = torch.repeat_interleave(starts_N - (ends_N - lengths_N), lengths_N)
        places_T = torch.arange(total, device=rows_N.device) + shift_T
        return self.history_T.index_select(0, places_T), torch.cat([ends_N.new_zeros(1), ends_N])


def check_impressions(batch: ImpressionBatch, shapes: CtrShapes, where: str = "") -> ImpressionBatch:
    """The batch, if every column is there and every code is one of its field's: in one table a code too high would read
    the next field's row. DataContractError naming `where` and the field otherwise."""
    where = f"{where}: " if where else ""
    found = (batch.codes_BF.shape[1], batch.numeric_BD.shape[1], batch.labels_BA.shape[1])
    wanted = (len(shapes.fields), len(shapes.numeric), len(shapes.labels))
    if found != wanted:
        raise DataContractError(
            f"{where}impressions have {found[0]} fields, {found[1]} numbers and {found[2]} labels, the ranker {wanted[0]},"
            f" {wanted[1]} and {wanted[2]}",
            "encode them with the codes in the ranker's bundle",
        )
    for place, field in enumerate(shapes.fields):
        _check_codes(batch.codes_BF[:, place], field, f"{where}field")
        if field.name == shapes.history and batch.history_T is not None:
            _check_codes(batch.history_T, field, f"{where}the history of field")
    return batch


def _check_codes(codes_N: Tensor, field: FieldShape, what: str) -> None:
    if len(codes_N) == 0:
        return
    low, high = (int(bound) for bound in codes_N.aminmax())
    if low < 0 or high >= field.size:
        raise DataContractError(
            f"{what} {field.name} holds codes {low}..{high} where the ranker knows 0..{field.size - 1}",
            "encode it with the codes in the ranker's bundle; an unknown value is 0",
        )
