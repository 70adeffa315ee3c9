"""Periods of sessions (`session item` a line, in time order, items numbered as they appear) as training rows and questions.

The protocol of ADER (Mi et al. 2020): a model of the periods before t is asked about period t. Items it has not seen are taken
out of the sessions, then sessions of one item are dropped; every prefix of what is left asks for the item after it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nightrank.ranker.batch import Batch
from nightrank.trainer.data.collate import batch_of
from nightrank.trainer.data.rows import Columns, Rows, Tokens, offsets_of, token_index

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Period:
    """Sessions end to end, oldest item first."""

    sessions: Ids
    items: Ids
    offsets: Ids

    @classmethod
    def of(cls, sessions: Ids, items: Ids) -> "Period":
        order = np.argsort(sessions, kind="stable")
        names, lengths = np.unique(sessions, return_counts=True)
        return cls(names, items[order], offsets_of(lengths))

    @property
    def lengths(self) -> Ids:
        return np.diff(self.offsets)

    @property
    def of_event(self) -> Ids:
        return np.repeat(self.sessions, self.lengths)

    @property
    def is_label(self) -> Flags:
        """False for the first item of a session: nothing comes before it."""
        later = np.ones(len(self.items), dtype=bool)
        later[self.offsets[:-1]] = False
        return later

    def every(self, number: int) -> "Period":
        """One in `number` of the sessions."""
        kept = self.of_event % number == 0
        return Period.of(self.of_event[kept], self.items[kept])

    def known_to(self, items: int) -> "Period":
        """Without items above `items`, then without sessions of one item."""
        seen = self.items <= items
        left = Period.of(self.of_event[seen], self.items[seen])
        long = np.repeat(left.lengths > 1, left.lengths)
        return Period.of(left.of_event[long], left.items[long])


def read_period(path: Path, first_session: int = 0) -> Period:
    """Sessions are named `first_session` + 1 and on: a session id that comes again in a later period is another session."""
    session, item = np.loadtxt(path, dtype=np.int64).T
    _, name = np.unique(session, return_inverse=True)
    return Period.of(first_session + 1 + name, item)


def joined(periods: list[Period]) -> Period:
    return Period.of(np.concatenate([p.of_event for p in periods]), np.concatenate([p.items for p in periods]))


def whole_rows(period: Period, longest: int) -> Rows:
    """One row a session of two items or more, its newest `longest` + 1; every label is in its loss."""
    kept = np.minimum(period.lengths, longest + 1)
    places = np.flatnonzero(kept >= 2)
    return _rows(period, places, (period.offsets[1:] - kept)[places], kept[places], np.ones(len(places), np.int64))


def label_rows(period: Period, labels: Flags, longest: int) -> Rows:
    """One row for each of these labels, with what came before it in its session."""
    ends = np.flatnonzero(labels & period.is_label)
    places = np.searchsorted(period.offsets, ends, side="right") - 1
    lengths = np.minimum(ends - period.offsets[places], longest) + 1
    return _rows(period, places, ends - lengths + 1, lengths, lengths - 1)


def questions(period: Period, longest: int) -> tuple[Batch, Tensor]:
    """(histories, targets [B]) of every label."""
    rows = batch_of(label_rows(period, period.is_label, longest))
    target_B, _ = rows.targets()
    return rows.cut_at(), target_B


def beside(one: Rows, other: Rows) -> Rows:
    """The rows of both."""
    heads = [rows.heads[:-1] for rows in (one, other)]
    both = {name: np.concatenate([head[name] for head in heads]) for name in ("user", "loss_from", "weight")}
    lengths = np.concatenate([one.lengths, other.lengths])
    tokens = Tokens(*(np.concatenate(pair) for pair in zip(one.tokens, other.tokens, strict=True)))
    columns = Columns(both["user"], both["loss_from"], both["weight"], lengths)
    return _whole(Rows.of(columns, [offsets_of(lengths)] * 3, tokens))


def _rows(period: Period, places: Ids, starts: Ids, lengths: Ids, loss_from: Ids) -> Rows:
    return rows_of(period.items, period.sessions[places], starts, lengths, loss_from)


def rows_of(items_E: Ids, users: Ids, starts: Ids, lengths: Ids, loss_from: Ids) -> Rows:
    """Row b is events [starts[b], starts[b] + lengths[b]) of `items_E`, its loss from position loss_from[b] on."""
    items = items_E[token_index(starts, lengths)].astype(np.int32)
    columns = Columns(users, loss_from, np.ones(len(users)), lengths)
    tokens = Tokens(items, np.zeros(len(items), np.int8), np.zeros(len(items), np.int64))
    return _whole(Rows.of(columns, [offsets_of(lengths)] * 3, tokens))


def _whole(rows: Rows | None) -> Rows:
    assert rows is not None, "lengths are those of the offsets"
    return rows


def users_of(rows: Rows) -> Tensor:
    return torch.from_numpy(np.unique(rows.heads["user"][:-1]).astype(np.int64))


def labels_of(rows: Rows) -> int:
    return int((rows.lengths - rows.heads["loss_from"][:-1]).sum())
