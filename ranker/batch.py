"""What a batch is: flat tokens and offsets, never padding.

Shapes: T tokens of all rows one after the other, B rows, B1 = B + 1, F aggregates, A attributes.
Row b owns tokens [offsets[b], offsets[b + 1]), oldest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

NAMED = 20
"""Users a fault names."""
SIDE = ("user_inputs_TF", "item_inputs_TF", "attributes_TA")
"""Fields that hold what is known beside the tokens, a row a token."""


@dataclass(frozen=True)
class Batch:
    """B histories. `loss_from_B` is the first position a row is trained or measured on, counted inside the row."""

    items_T: Tensor
    actions_T: Tensor
    times_T: Tensor
    """Microseconds since the epoch; 0 where a time is not known."""
    offsets_B1: Tensor
    loss_from_B: Tensor
    weight_B: Tensor
    users_B: Tensor
    time_to_next_event_B: Tensor | None = None
    """Microseconds from each row's last token to the predicted event, -1 where unknown; None: no next event yet."""
    user_inputs_TF: Tensor | None = None
    """Aggregates of the row's user as of the start of each token's day; None where the ranker reads none."""
    item_inputs_TF: Tensor | None = None
    """The same of the token's item."""
    attributes_TA: Tensor | None = None
    """Codes of the user's attributes that were known by the token's time, 0 for those that were not."""

    @classmethod
    def from_lists(
        cls,
        items: Sequence[Sequence[int]],
        actions: Sequence[Sequence[int]] | None = None,
        times: Sequence[Sequence[int]] | None = None,
        loss_from: Sequence[int] | None = None,
        weights: Sequence[float] | None = None,
        users: Sequence[int] | None = None,
    ) -> "Batch":
        """Rows as Python lists. Without them actions, times and users are 0, weights 1 and loss_from 1."""
        lengths = [len(row) for row in items]
        rows, tokens = len(items), sum(lengths)
        return cls(
            items_T=_flat(items),
            actions_T=_flat(actions) if actions is not None else torch.zeros(tokens, dtype=torch.int64),
            times_T=_flat(times) if times is not None else torch.zeros(tokens, dtype=torch.int64),
            offsets_B1=torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0),
            loss_from_B=_column(loss_from, rows, 1, torch.int64),
            weight_B=_column(weights, rows, 1, torch.float32),
            users_B=_column(users, rows, 0, torch.int64),
        )

    @property
    def rows(self) -> int:
        return int(self.users_B.shape[0])

    @property
    def label(self) -> str:
        """The rows by the dense ids of their users, for a fault."""
        named = ", ".join(map(str, self.users_B[:NAMED].tolist()))
        return f"{self.rows} rows of users {named}{' and others' if self.rows > NAMED else ''}"

    @property
    def tokens(self) -> int:
        return int(self.items_T.shape[0])

    @property
    def lengths(self) -> Tensor:
        """Tokens of each row, [B]."""
        return self.offsets_B1[1:] - self.offsets_B1[:-1]

    @property
    def row_T(self) -> Tensor:
        """The row each token belongs to."""
        return torch.repeat_interleave(torch.arange(self.rows, device=self.items_T.device), self.lengths)

    @property
    def position_T(self) -> Tensor:
        """Each token's position in its row, from 0."""
        return torch.arange(self.tokens, device=self.items_T.device) - self.offsets_B1[self.row_T]

    def to(self, device: torch.device | str) -> "Batch":
        """There, and every integer widened to 64 bits: a reader gives them in the files' widths, so that less is sent."""
        there: dict[str, Any] = {field.name: _widened(getattr(self, field.name), device) for field in fields(self)}
        return Batch(**there)

    def keep(self, mask_T: Tensor) -> "Batch":
        """Only the tokens in the mask; rows stay, also those left without a token. `loss_from_B` is not moved, and
        how long it is until the next event is forgotten."""
        before_T1 = torch.cat([mask_T.new_zeros(1, dtype=torch.int64), mask_T.to(torch.int64).cumsum(0)])
        return Batch(
            items_T=self.items_T[mask_T],
            actions_T=self.actions_T[mask_T],
            times_T=self.times_T[mask_T],
            offsets_B1=before_T1[self.offsets_B1],
            loss_from_B=self.loss_from_B,
            weight_B=self.weight_B,
            users_B=self.users_B,
            **self.side(mask_T),
        )

    def rows_where(self, mask_B: Tensor) -> "Batch":
        """Only the rows in the mask, with all that is known of them."""
        kept = self.keep(mask_B[self.row_T])
        gap_B = self.time_to_next_event_B
        return replace(
            kept,
            offsets_B1=torch.cat([self.offsets_B1.new_zeros(1), self.lengths[mask_B].cumsum(0)]),
            loss_from_B=self.loss_from_B[mask_B],
            weight_B=self.weight_B[mask_B],
            users_B=self.users_B[mask_B],
            time_to_next_event_B=None if gap_B is None else gap_B[mask_B],
        )

    def side(self, index_T: Tensor | slice) -> dict[str, Tensor | None]:
        """What is known beside the tokens, of the tokens at `index_T` alone."""
        return {name: None if (values := getattr(self, name)) is None else values[index_T] for name in SIDE}

    def cut_at(self, loss_from_B: Tensor | None = None) -> "Batch":
        """The histories of an evaluation: positions before `loss_from_B` (by default the batch's own)."""
        cut_B = self.loss_from_B if loss_from_B is None else loss_from_B
        return self.keep(self.position_T < cut_B[self.row_T])

    def targets(self) -> tuple[Tensor, Tensor]:
        """(items, offsets [B + 1]) of positions [loss_from, n): what an evaluation row asks for."""
        kept = self.keep(self.position_T >= self.loss_from_B[self.row_T])
        return kept.items_T, kept.offsets_B1

    def newest(self, length: int) -> "Batch":
        """At most the newest `length` tokens of each row; `loss_from_B` moves with them and is at least 0."""
        dropped_B = (self.lengths - length).clamp_min(0)
        kept = self.keep(self.position_T >= dropped_B[self.row_T])
        return Batch(**{**vars(kept), "loss_from_B": (self.loss_from_B - dropped_B).clamp_min(0)})

    def without_last(self) -> "Batch":
        """Each row without its newest token: the inputs of a training step, where token p predicts token p + 1."""
        kept = self.keep(self.position_T < (self.lengths - 1)[self.row_T])
        if self.tokens == 0:
            return kept
        last_B = (self.offsets_B1[1:] - 1).clamp_min(0)
        then_B, now_B = self.times_T[last_B], self.times_T[(last_B - 1).clamp_min(0)]
        known_B = (self.lengths > 1) & (now_B > 0) & (then_B > 0)
        return replace(kept, time_to_next_event_B=torch.where(known_B, (then_B - now_B).clamp_min(0), -1))


def _widened(values: Tensor | None, device: torch.device | str) -> Tensor | None:
    there = None if values is None else values.to(device)
    return there if there is None or there.is_floating_point() else there.to(torch.int64)


def _flat(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor([value for row in rows for value in row], dtype=torch.int64)


def _column(values: Sequence[float] | None, rows: int, default: int, kind: torch.dtype) -> Tensor:
    return torch.full((rows,), default, dtype=kind) if values is None else torch.tensor(list(values), dtype=kind)
