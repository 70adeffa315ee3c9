"""Every recommender on the same rows of one split, streamed: what is kept is a few numbers a row, never the lists.

Shapes: N rows that have a target left, K list length.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.storage import Location
from nightrank.ranker.batch import Batch
from nightrank.ranker.metrics.ranking import novelty, per_row
from nightrank.trainer.config.evaluation import EvaluationConfig
from nightrank.trainer.data.epoch import iter_part
from nightrank.trainer.evaluation.recommenders import BundleRecommender, Ids, Recommender, days_of
from nightrank.trainer.loop.validation import Queries, queries

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SplitMeasures:
    """Per-row values of every recommender, over the same N rows in the same order."""

    split: str
    dropped: int
    """Rows left without a target after the seen rule."""
    history: Ids
    """[N] positions a row's history has."""
    values: dict[str, dict[str, Floats]]
    """who -> "ndcg@10" -> [N]"""
    cold: dict[str, dict[str, Floats]]
    """The same with only cold targets; NaN for rows without one."""
    coverage: dict[str, dict[int, float]]
    """who -> k -> share of the catalogue that is in some list."""

    @property
    def rows(self) -> int:
        return len(self.history)


def measure(
    snapshot: DatasetSnapshot,
    root: Location,
    part: PartName,
    recommenders: Mapping[str, Recommender],
    training_events: Ids,
    config: EvaluationConfig,
) -> SplitMeasures:
    """One pass over the part. `training_events[item]` says which targets are cold and how novel a list is."""
    batches = iter_part(snapshot, root, part, batch_rows=config.batch_rows)
    return measure_rows(snapshot, root, part, batches, recommenders, training_events, config)


def measure_rows(
    snapshot: DatasetSnapshot,
    root: Location,
    split: str,
    batches: Iterable[Batch],
    recommenders: Mapping[str, Recommender],
    training_events: Ids,
    config: EvaluationConfig,
) -> SplitMeasures:
    """The same of any rows of the snapshot, reported as `split`."""
    recommenders = {
        name: recommender.on(snapshot, root) if isinstance(recommender, BundleRecommender) else recommender
        for name, recommender in recommenders.items()
    }
    collected = _Collected(list(recommenders), snapshot.items, config.ks)
    for batch in batches:
        query = queries(batch, snapshot)
        collected.dropped += batch.rows - query.history.rows
        if not query.history.rows:
            continue
        collected.history.append(query.history.lengths.numpy())
        days = days_of(batch, query.kept_B)
        for name, recommender in recommenders.items():
            lists = recommender.lists(query, days, max(config.ks))
            collected.add(name, lists, query, training_events, config)
    return collected.whole(split)


class _Collected:
    def __init__(self, names: list[str], items: int, ks: tuple[int, ...]) -> None:
        self.dropped = 0
        self._ks = ks
        self.history: list[Ids] = []
        self._values: dict[str, list[dict[str, Floats]]] = {recommender: [] for recommender in names}
        self._cold: dict[str, list[dict[str, Floats]]] = {recommender: [] for recommender in names}
        self._first_place = {recommender: np.full(items + 1, max(ks), np.int64) for recommender in names}
        """Best place each item took in any list: what is in a list of length k has a place below k."""

    def add(self, recommender: str, lists: Ids, query: Queries, events: Ids, config: EvaluationConfig) -> None:
        if lists.max(initial=0) >= len(events):
            raise DataContractError(
                f"a list of {recommender} names item {lists.max()}, the vocabulary has 1..{len(events) - 1}",
                "make the lists again from this snapshot",
            )
        targets, offsets = (part.numpy() for part in query.targets)
        rows = per_row(lists, targets, offsets, config.ks)
        rows |= {f"novelty@{k}": novelty(lists[:, :k], events) for k in config.ks}
        self._values[recommender].append(rows)
        self._cold[recommender].append(_cold_rows(lists, targets, offsets, events, config))
        places = np.broadcast_to(np.arange(lists.shape[1]), lists.shape)
        np.minimum.at(self._first_place[recommender], lists.ravel(), places.ravel())

    def whole(self, split: str) -> SplitMeasures:
        return SplitMeasures(
            split=split,
            dropped=self.dropped,
            history=np.concatenate(self.history) if self.history else np.zeros(0, np.int64),
            values={recommender: _joined(parts) for recommender, parts in self._values.items()},
            cold={recommender: _joined(parts) for recommender, parts in self._cold.items()},
            coverage={recommender: self._coverage(recommender) for recommender in self._values},
        )

    def _coverage(self, recommender: str) -> dict[int, float]:
        places = self._first_place[recommender][1:]
        return {k: float((places < k).mean()) if len(places) else 0.0 for k in self._ks}


def _cold_rows(lists: Ids, targets: Ids, offsets: Ids, events: Ids, config: EvaluationConfig) -> dict[str, Floats]:
    """Metrics against the cold targets alone; NaN where a row has none."""
    known = np.minimum(targets, len(events) - 1)
    cold = events[known] <= config.cold_events
    row = np.repeat(np.arange(len(lists)), np.diff(offsets))[cold]
    having, counts = np.unique(row, return_counts=True)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    names = [f"{name}@{k}" for name in ("recall", "ndcg") for k in config.ks]
    result = {name: np.full(len(lists), np.nan) for name in names}
    if len(having):
        found = per_row(lists[having], targets[cold], bounds, config.ks)
        for name in names:
            result[name][having] = found[name]
    return result


def _joined(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
