"""Public sequence sets (`user item item ...` a line, oldest first) and MovieLens' ratings as training rows and as questions.

Strict: the loss never sees the validation item. Refit: trained on everything but the last item.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nightrank.ranker.batch import Batch
from nightrank.trainer.data.collate import batch_of
from nightrank.trainer.data.rows import Columns, Rows, Tokens, offsets_of, token_index

Protocol = Literal["strict", "refit"]
COLD: Final = 5
"""Events in the training rows up to which an item counts as cold."""
SECOND: Final = 1_000_000
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Histories end to end; item ids 1..items."""

    items: int
    flat: Integers
    offsets: Integers
    shift: int = 0
    """Added to the file's ids, where they begin at 0."""
    times: Integers | None = None
    """[events] microseconds, where the set has a clock."""

    @property
    def users(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Integers:
        return np.diff(self.offsets)

    def counts(self, kept: int) -> Integers:
        """[items + 1] events of each item, each user's newest `kept` left out."""
        place = np.arange(len(self.flat)) - np.repeat(self.offsets[:-1], self.lengths)
        inside = place < np.repeat(self.lengths - kept, self.lengths)
        return np.bincount(self.flat[inside], minlength=self.items + 1)


@dataclass(frozen=True)
class Questions:
    """One question a user: the history before its target, the target."""

    history: Batch
    target_B: Tensor
    users: int
    """The number of users before dropping those whose target is in their history or in no training row."""


def read_sequences(path: Path) -> Sequences:
    """`ratings.csv` is MovieLens': its films are numbered in the order of their ids."""
    if path.name == "ratings.csv":
        return _ratings(path)
    lines = [np.array(line.split()[1:], dtype=np.int64) for line in path.read_text().splitlines() if line.strip()]
    flat = np.concatenate(lines)
    shift = int(flat.min() == 0)
    return Sequences(int(flat.max()) + shift, flat + shift, offsets_of(np.array([len(line) for line in lines])), shift)


def _ratings(path: Path) -> Sequences:
    with path.open(newline="") as lines:
        read = [(int(row["userId"]), int(row["timestamp"]), int(row["movieId"])) for row in csv.DictReader(lines)]
    user, seconds, movie = np.array(sorted(read), np.int64).T
    _, item = np.unique(movie, return_inverse=True)
    _, lengths = np.unique(user, return_counts=True)
    return Sequences(int(item.max()) + 1, item + 1, offsets_of(lengths), times=seconds * SECOND)


def held_out(protocol: Protocol) -> int:
    """Newest items of each user that are in no training row."""
    return 2 if protocol == "strict" else 1


def training_lines(data: Sequences, hold: int) -> str:
    """The file of each user less the newest `hold` items: what a peer is given to train on."""
    bounds = zip(data.offsets[:-1], data.offsets[1:] - hold, strict=True)
    return "".join(f"{user} {' '.join(map(str, data.flat[a:b]))}\n" for user, (a, b) in enumerate(bounds, 1))


def known_lines(queries: Questions) -> str:
    """The histories of the questions in the same form: what a peer knows when it is asked."""
    history = queries.history
    items, ends = history.items_T.tolist(), history.offsets_B1.tolist()
    rows = zip(history.users_B.tolist(), ends[:-1], ends[1:], strict=True)
    return "".join(f"{user} {' '.join(map(str, items[a:b]))}\n" for user, a, b in rows)


def training_rows(data: Sequences, hold: int, longest: int) -> Rows:
    """One row a user: its newest `longest` + 1 items, less the newest `hold` ones."""
    lengths = data.lengths - hold
    kept = np.minimum(lengths, longest + 1)
    users = np.flatnonzero(kept >= 2)
    return _rows(data, users, (data.offsets[:-1] + lengths - kept)[users], kept[users], 1)


def questions(data: Sequences, back: int, hold: int, every_target: bool = False) -> Questions:
    """The `back`-th newest item of every user asked for, given everything before it. With `every_target` also items that are
    in nobody's training rows: where items have texts they can be found."""
    counts = data.counts(hold)
    ends = data.offsets[1:] - back
    target = data.flat[ends]
    lengths = ends - data.offsets[:-1]
    seen = [int(t) in data.flat[s:e] for t, s, e in zip(target, data.offsets[:-1], ends, strict=True)]
    kept = np.flatnonzero(((counts[target] > 0) | every_target) & ~np.array(seen))
    history = batch_of(_rows(data, kept, data.offsets[:-1][kept], lengths[kept], 0))
    return Questions(history, torch.from_numpy(target[kept]), data.users)


def cold_targets(queries: Questions, data: Sequences, hold: int) -> npt.NDArray[np.bool_]:
    """[B]: whose target is cold."""
    cold_B: npt.NDArray[np.bool_] = data.counts(hold)[queries.target_B.numpy()] <= COLD
    return cold_B


def _rows(data: Sequences, users: Integers, starts: Integers, lengths: Integers, loss_from: int) -> Rows:
    """A row for each of `users`: the `lengths` items from `starts` on."""
    place = token_index(starts, lengths)
    items = data.flat[place].astype(np.int32)
    times = np.zeros(len(items), np.int64) if data.times is None else data.times[place]
    columns = Columns(users + 1, np.full(len(users), loss_from), np.ones(len(users)), lengths)
    rows = Rows.of(columns, [offsets_of(lengths)] * 3, Tokens(items, np.zeros(len(items), np.int8), times))
    assert rows is not None, "lengths are those of the offsets"
    return rows
