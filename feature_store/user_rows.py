"""One user's rows in every split: which positions a full run or a night learns from and is measured on. Pure numpy."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from nightrank.feature_store.training_rows import Cut, Flags, History, Limits, collapse, evaluation_row, loss_rows


class RowRules(NamedTuple):
    """What is the same for all users of a run."""

    limits: Limits
    kind: Literal["leave_one_out", "global_time", "night"]
    collapse_repeats: bool
    valid_from: int = 0
    """Microseconds; global_time only, as `test_from`."""
    test_from: int = 0
    target_actions: tuple[int, ...] | None = None
    """Codes an evaluation target may have; None: any."""


class Row(NamedTuple):
    split: str
    source: str
    cut: Cut
    weight: float = 1.0


def user_rows(raw: History, rules: RowRules, held_out: bool, replayed: bool) -> tuple[History, list[Row]]:
    """The positions the rows point into, and the rows.

    `held_out`: the last position of the run's date is kept for the gate, and no position from it on is in a loss.
    """
    breaks = (rules.valid_from, rules.test_from) if rules.kind == "global_time" else ()
    history = collapse(raw, breaks) if rules.collapse_repeats else raw
    may_be_target = _targets(history, rules)
    kept = np.flatnonzero(history.today & may_be_target)[-1:] if held_out else np.empty(0, dtype=np.int64)
    may_be_learnt = _counts(history)
    rows: list[Row] = []
    source = "day" if rules.kind == "night" else "history"
    if len(kept):
        may_be_learnt[kept[0] :] = False
        rows += _named("holdout", source, evaluation_row(history, kept, int(kept[0]), rules.limits))
    if rules.kind == "night":
        rows += _night(history, rules, may_be_learnt, replayed)
    elif rules.kind == "global_time":
        rows += _global_time(history, rules, may_be_learnt, may_be_target)
    else:
        rows += _leave_one_out(history, rules, may_be_learnt, may_be_target)
    return history, rows


def _targets(history: History, rules: RowRules) -> Flags:
    if rules.target_actions is None:
        return _counts(history)
    return _counts(history) & np.isin(history.actions, np.array(rules.target_actions, dtype=np.int8))


def _counts(history: History) -> Flags:
    """False for positions of weight 0: a user took them back, or their action is not to be learnt."""
    return np.ones(len(history.items), dtype=bool) if history.weights is None else history.weights > 0


def _weighted(split: str, source: str, history: History, labels: Flags, limits: Limits) -> Iterator[Row]:
    """Rows that hold each label once. A row has one weight, so labels of other weights are in rows of their own."""
    if history.weights is None:
        yield from (Row(split, source, cut) for cut in loss_rows(history, labels, limits))
        return
    for weight in np.unique(history.weights[labels]).tolist():
        same = labels & (history.weights == np.float32(weight))
        yield from (Row(split, source, cut, weight) for cut in loss_rows(history, same, limits))


def _named(split: str, source: str, cut: Cut | None) -> list[Row]:
    return [] if cut is None else [Row(split, source, cut)]


def _learnt(history: History, rules: RowRules, train: Flags, may_be_learnt: Flags) -> Iterator[Row]:
    """`train` and, of all else that may be learnt, `refit`."""
    for split, labels in (("train", train & may_be_learnt), ("refit", ~train & may_be_learnt)):
        yield from _weighted(split, "history", history, labels, rules.limits)


def _leave_one_out(history: History, rules: RowRules, may_be_learnt: Flags, may_be_target: Flags) -> Iterator[Row]:
    """The last target tests, the one before validates, what comes before that trains; under three positions all train."""
    length = len(history.items)
    ends = np.flatnonzero(may_be_target)[-2:] if length >= 3 else np.empty(0, dtype=np.int64)
    train = np.arange(length) < (ends[0] if len(ends) else length)
    yield from _learnt(history, rules, train, may_be_learnt)
    for split, target in zip(("valid", "test")[2 - len(ends) :], ends, strict=True):
        yield from _named(split, "history", evaluation_row(history, np.array([target]), int(target), rules.limits))


def _global_time(history: History, rules: RowRules, may_be_learnt: Flags, may_be_target: Flags) -> Iterator[Row]:
    """Windows [valid_from, test_from) and [test_from, ...) measure; what happened and was known before them trains."""
    train = (history.times < rules.valid_from) & (history.available < rules.valid_from)
    yield from _learnt(history, rules, train, may_be_learnt)
    windows = (("valid", rules.valid_from, rules.test_from), ("test", rules.test_from, np.iinfo(np.int64).max))
    for split, start, end in windows:
        targets = np.flatnonzero(may_be_target & (history.times >= start) & (history.times < end))
        if len(targets):
            before = int(np.searchsorted(history.times, start))
            yield from _named(split, "history", evaluation_row(history, targets, before, rules.limits))


def _night(history: History, rules: RowRules, may_be_learnt: Flags, replayed: bool) -> Iterator[Row]:
    """What is new, with its history as context. For a user without news what is replayed: the positions chosen by themselves,
    or, where users are chosen, the newest `max_length`."""
    labels = history.fresh & may_be_learnt
    yield from _weighted("train", "day", history, labels, rules.limits)
    if history.fresh.any():
        return
    if history.replay is not None:
        yield from _weighted("train", "replay", history, history.replay & may_be_learnt, rules.limits)
    elif replayed:
        newest = np.arange(len(history.items)) > len(history.items) - rules.limits.max_length
        whole = rules.limits._replace(overlap=rules.limits.min_history)
        yield from _weighted("train", "replay", history, newest & may_be_learnt, whole)
