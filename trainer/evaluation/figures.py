"""From per-row values to the metric rows and comparisons of result.json: slices, means, intervals.

Shapes: N rows of a slice, M columns (recommender, metric).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from nightrank.ranker.metrics.ranking import Floats
from nightrank.trainer.config.evaluation import EvaluationConfig
from nightrank.trainer.evaluation.bootstrap import percentile_interval, resampled_means
from nightrank.trainer.evaluation.measure import SplitMeasures

NOT_DECIDABLE: Final = "not decidable"
FEW_ROWS: Final = "few rows"
"""Note of a figure of fewer than `decidable_rows` rows; its interval counts one row of 0 and one of 1 as well."""
CHALLENGER: Final = "challenger"
COMPARED: Final = ("recall", "ndcg")
"""What is compared between recommenders, and reported of slices."""


@dataclass(frozen=True)
class Slice:
    """Some rows of a split, and each recommender's values there."""

    name: str
    values: dict[str, dict[str, Floats]]

    @property
    def rows(self) -> int:
        return next((len(column) for columns in self.values.values() for column in columns.values()), 0)


Json = dict[str, Any]


def figures(measures: SplitMeasures, config: EvaluationConfig, seed: int) -> tuple[list[Json], list[Json]]:
    """(metric rows, comparisons of the challenger with everyone else), as the interfaces page has them. All intervals of one
    slice come from the same resamples."""
    metrics: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []
    for part in slices(measures, config):
        resampled = Resampled(part, config, seed)
        metrics += [resampled.metric(measures.split, recommender, name) for recommender, name in resampled.columns]
        comparisons += list(_comparisons(measures.split, resampled))
    metrics += _coverage(measures, config)
    return metrics, comparisons


def slices(measures: SplitMeasures, config: EvaluationConfig) -> Iterator[Slice]:
    """All rows; rows with a cold target, asked for those alone; rows by length of history."""
    yield Slice("all", measures.values)
    has_cold = ~np.isnan(_first_column(measures.cold, measures.rows))
    yield Slice("cold_items", _masked(measures.cold, has_cold))
    edges = (-1, *config.history_bounds)
    short = {
        recommender: {n: v for n, v in rows.items() if n.split("@")[0] in COMPARED}
        for recommender, rows in measures.values.items()
    }
    for above, up_to in pairwise(edges):
        inside = (measures.history > above) & (measures.history <= up_to)
        yield Slice(f"history_{above + 1}_{up_to}", _masked(short, inside))
    yield Slice(f"history_over_{edges[-1]}", _masked(short, measures.history > edges[-1]))


class Resampled:
    """One slice with its resamples; without a row no figure is given."""

    def __init__(self, part: Slice, config: EvaluationConfig, seed: int) -> None:
        self.part, self.config = part, config
        self.columns = [(recommender, name) for recommender, columns in part.values.items() for name in columns]
        self.few = part.rows < config.decidable_rows
        self._notes = {"note": FEW_ROWS} if self.few else {}
        if part.rows:
            values = np.stack([part.values[recommender][name] for recommender, name in self.columns], axis=1)
            self._means = values.mean(axis=0)
            self._drawn = resampled_means(values, seed, config.samples)
            self._widened = resampled_means(_with_extremes(values), seed, config.samples) if self.few else self._drawn

    def metric(self, split: str, recommender: str, name: str) -> dict[str, Any]:
        row = _row(recommender, split, self.part.name, name, self.part.rows)
        if not self.part.rows:
            return {**row, "value": None, "ci": None, "note": NOT_DECIDABLE}
        at = self.columns.index((recommender, name))
        return {**row, "value": float(self._means[at]), "ci": self._interval(self._widened[:, at]), **self._notes}

    def delta(self, name: str, ours: str, theirs: str) -> dict[str, Any]:
        """`ours` less `theirs` on the same rows; `relative` to theirs."""
        if not self.part.rows:
            return {"delta": None, "ci": None, "relative": None, "note": NOT_DECIDABLE}
        a, b = self.columns.index((ours, name)), self.columns.index((theirs, name))
        delta = float(self._means[a] - self._means[b])
        base = float(self._means[b])
        return {
            "delta": delta,
            "ci": self._interval(self._drawn[:, a] - self._drawn[:, b]),
            "relative": delta / base if base else None,
            **self._notes,
        }

    def _interval(self, drawn: Floats) -> list[float]:
        return list(percentile_interval(drawn, self.config.level))


def _comparisons(split: str, resampled: Resampled) -> Iterator[dict[str, Any]]:
    if CHALLENGER not in resampled.part.values:
        return
    for name in resampled.part.values[CHALLENGER]:
        if name.split("@")[0] not in COMPARED:
            continue
        for other in resampled.part.values:
            if other != CHALLENGER:
                row = _row(CHALLENGER, split, resampled.part.name, name, resampled.part.rows)
                yield {**row, "against": other, **resampled.delta(name, CHALLENGER, other)}


def _coverage(measures: SplitMeasures, config: EvaluationConfig) -> list[dict[str, Any]]:
    """Coverage is of the whole set of lists, so it has no interval over rows."""
    notes = {} if measures.rows >= config.decidable_rows else {"note": FEW_ROWS if measures.rows else NOT_DECIDABLE}
    return [
        {
            **_row(recommender, measures.split, "all", f"coverage@{k}", measures.rows),
            "value": share if measures.rows else None,
            "ci": None,
            **notes,
        }
        for recommender, shares in measures.coverage.items()
        for k, share in shares.items()
    ]


def _with_extremes(values_NM: Floats) -> Floats:
    """The rows, and for each column one row of 0 and one of 1 (of its own extremes where it leaves them): few rows that happen
    to be equal must not look certain."""
    low, high = np.minimum(values_NM.min(axis=0), 0.0), np.maximum(values_NM.max(axis=0), 1.0)
    return np.vstack([values_NM, low, high])


def _row(recommender: str, split: str, part: str, name: str, rows: int) -> dict[str, Any]:
    metric, _, k = name.partition("@")
    return {"recommender": recommender, "split": split, "slice": part, "name": metric, "k": int(k), "n": rows}


def _masked(values: dict[str, dict[str, Floats]], mask: np.ndarray[Any, Any]) -> dict[str, dict[str, Floats]]:
    return {recommender: {name: column[mask] for name, column in columns.items()} for recommender, columns in values.items()}


def _first_column(values: dict[str, dict[str, Floats]], rows: int) -> Floats:
    return next((column for columns in values.values() for column in columns.values()), np.full(rows, np.nan))
