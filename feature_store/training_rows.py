"""One user's history into training rows: pure numpy, no engine. What a label may see is decided here and nowhere else.

A label at position j may see the earlier positions that were available by its event time:
C(j) = {i < j : available_i <= time_j}. Without late events C(j) is the prefix [0, j) and rows are plain chunks;
a late event makes C jump, and there a new row starts.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from nightrank.feature_store.contracts.actions import ACTION_CODES

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

STRENGTH: Final = ("impression", "other", "view", "click", "cart", "rating", "purchase")
"""Weakest first: what a position keeps when successive events on one item become one."""
_BY_STRENGTH: Final = np.array([0, *(ACTION_CODES[name] for name in STRENGTH)], dtype=np.int8)
_STRENGTH_OF: Final = np.argsort(_BY_STRENGTH).astype(np.int8)
_NEVER: Final = np.iinfo(np.int64).max


class History(NamedTuple):
    """A user's positions, sorted by (event time, event id); all arrays have one length. Times are microseconds."""

    items: npt.NDArray[np.int32]
    actions: npt.NDArray[np.int8]
    times: Ints
    available: Ints
    fresh: Flags
    """Known today and not when the champion was trained: what a night learns from."""
    today: Flags
    """Its event time is of the run's date."""
    weights: Floats | None = None
    """What a label counts in the loss; 0: it is neither learnt nor a target. None: 1 everywhere."""
    replay: Flags | None = None
    """Chosen by itself for a night's replay. None: users are chosen."""


class Limits(NamedTuple):
    """How long rows are: `max_length` positions, of which a continuation repeats `overlap` as context.

    `overlap` and `min_history` are below `max_length`, or a chunk would hold nothing new; build_training_set checks it.
    """

    max_length: int
    overlap: int
    min_history: int


class Cut(NamedTuple):
    """A row as positions of the history, oldest first; the loss is on [loss_from, len(positions))."""

    positions: Ints
    loss_from: int


def collapse(history: History, breaks: tuple[int, ...] = ()) -> History:
    """Successive events on one item as one position, at its first time with its strongest action and its highest weight.

    An event joins only if it was known when the next position was asked for, so the position shows no later label
    anything that was still on its way; one that came later than that is left out. A run never crosses a time in `breaks`.
    """
    if len(history.items) < 2:
        return history
    starts = _run_starts(history, breaks)
    if len(starts) == len(history.items):
        return history
    run = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(history.items))))
    earliest = np.minimum.reduceat(history.available, starts)
    next_time = np.append(history.times[starts[1:]], _NEVER)
    for moment in breaks:
        next_time = np.where(history.times[starts] < moment, np.minimum(next_time, moment - 1), next_time)
    known = history.available <= np.maximum(earliest, next_time)[run]
    strength = np.where(known, _STRENGTH_OF[history.actions], 0)
    first = np.minimum.reduceat(np.where(known, np.arange(len(run)), len(run)), starts)
    return History(
        items=history.items[starts],
        actions=_BY_STRENGTH[np.maximum.reduceat(strength, starts)],
        times=history.times[first],
        available=earliest,
        fresh=np.logical_and.reduceat(history.fresh, starts),
        today=history.today[first],
        weights=_highest(history.weights, known, starts),
        replay=None if history.replay is None else np.logical_or.reduceat(history.replay & known, starts),
    )


def _highest(weights: Floats | None, known: Flags, starts: Ints) -> Floats | None:
    if weights is None:
        return None
    highest: Floats = np.maximum.reduceat(np.where(known, weights, np.float32(0)), starts)
    return highest


def _run_starts(history: History, breaks: tuple[int, ...]) -> Ints:
    new = history.items[1:] != history.items[:-1]
    for moment in breaks:
        new |= (history.times[:-1] < moment) & (history.times[1:] >= moment)
    return np.append(0, np.flatnonzero(new) + 1)


def context(history: History, label: int, before: int | None = None) -> Ints:
    """C(label), oldest first; with `before`, only of the positions ahead of that one."""
    earlier = label if before is None else min(label, before)
    return np.flatnonzero(history.available[:earlier] <= history.times[label])


def loss_rows(history: History, labels: Flags, limits: Limits) -> list[Cut]:
    """Rows whose losses are exactly the labels with at least `min_history` positions to see, each in one row."""
    if _nothing_late(history):
        wanted = np.flatnonzero(labels & (np.arange(len(labels)) >= limits.min_history))
        pieces = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1) if len(wanted) else []
        return [row for piece in pieces for row in _chunks(np.arange(piece[-1] + 1), int(piece[0]), limits)]
    return [row for seen, run in _late_runs(history, labels, limits.min_history) for row in _late_chunks(seen, run, limits)]


def _nothing_late(history: History) -> bool:
    return bool(np.all(history.available[:-1] <= history.times[1:]))


def _late_runs(history: History, labels: Flags, min_history: int) -> list[tuple[Ints, list[int]]]:
    """(context of the first, labels) for each maximal run of labels where every next sees just the one before in addition."""
    runs: list[tuple[Ints, list[int]]] = []
    for label in np.flatnonzero(labels).tolist():
        seen = context(history, label)
        if len(seen) < min_history:
            continue
        # C only grows with time, so two more facts make C(label) = C(previous) + {previous}: its last element and its size.
        if runs and seen[-1] == runs[-1][1][-1] and len(seen) == len(runs[-1][0]) + len(runs[-1][1]):
            runs[-1][1].append(label)
        else:
            runs.append((seen, [label]))
    return runs


def _late_chunks(seen: Ints, run: list[int], limits: Limits) -> list[Cut]:
    return _chunks(np.concatenate([seen, np.array(run, dtype=np.int64)]), len(seen), limits)


def _chunks(positions: Ints, loss_from: int, limits: Limits) -> list[Cut]:
    """Rows of at most `max_length` over `positions`, losses from `loss_from` on: the first with all the context that
    fits, each continuation with `overlap` of it."""
    rows: list[Cut] = []
    total, label = len(positions), loss_from
    start = max(0, min(total - limits.max_length, loss_from - limits.overlap))
    while label < total:
        end = min(total, start + limits.max_length)
        rows.append(Cut(positions[start:end], label - start))
        label, start = end, end - limits.overlap
    return rows


def evaluation_row(history: History, targets: Ints, before: int, limits: Limits) -> Cut | None:
    """The newest `max_length` positions ahead of `before` that the first target may see, then the targets.

    None where fewer than `min_history` are left to see.
    """
    seen = context(history, int(targets[0]), before)[-limits.max_length :]
    if len(seen) < limits.min_history:
        return None
    return Cut(np.concatenate([seen, targets]), len(seen))
