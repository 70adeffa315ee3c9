"""The retention report: a figure for each set, slice and model, and whether it asks for a full pass."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from nightrank.feature_store.contracts.cohort import Cohort
from nightrank.feature_store.contracts.outputs.evaluated import RetentionFacts, RetentionRow
from nightrank.ranker.metrics.ranking import interval, paired_delta
from nightrank.trainer.config.retention import RetentionConfig
from nightrank.trainer.evaluation.retention.measured import Measured
from nightrank.trainer.evaluation.retention.row_sets import COHORT

LIVE: Final = "challenger"
FULL: Final = "last_full"
ALL: Final = "all"


def facts_of(sets: Mapping[str, Measured], cohort: Cohort | None, config: RetentionConfig, seed: int) -> RetentionFacts:
    """The report of one run. `sets` by name."""
    rows = [row for name, found in sets.items() for row in _rows(name, found, config, seed)]
    asks, note = pass_due(sets.get(COHORT), config, seed)
    pinned = None if cohort is None else cohort.model_dump(mode="json", include={"sha256", "rows", "date"})
    return RetentionFacts(rows=rows, cohort=pinned, asks_for_full=asks, note=note)


def pass_due(cohort: Measured | None, config: RetentionConfig, seed: int) -> tuple[bool, str]:
    """Whether the night's model has lost more on the cohort than `config.drop` allows, and a sentence that says why."""
    if cohort is None or not {LIVE, FULL} <= cohort.ndcg.keys():
        return False, "there is nothing to compare on the cohort"
    ours, full = cohort.ndcg[LIVE], cohort.ndcg[FULL]
    if len(ours) < config.rows:
        return False, f"{len(ours)} rows of the cohort have a target left, {config.rows} are needed to ask for a full pass"
    delta, low, high = paired_delta(ours, full, seed, config.samples)
    before = float(np.mean(full))
    figures = (
        f"NDCG@10 on the cohort {np.mean(ours):.4f}, that of the last full model {before:.4f} "
        f"(delta {delta:+.4f}, interval {low:+.4f} to {high:+.4f})"
    )
    if config.drop is None:
        return False, figures
    lost = high < 0 and delta < -config.drop * before
    return lost, f"{figures}; {'more' if lost else 'no more'} is lost than {config.drop:.0%}"


def _rows(name: str, found: Measured, config: RetentionConfig, seed: int) -> Iterator[RetentionRow]:
    rows = len(next(iter(found.ndcg.values()), ()))
    for part, inside in {ALL: np.ones(rows, bool), **found.slices}.items():
        for model, values in found.ndcg.items():
            chosen = values[inside]
            value, low, high = interval(chosen, seed, config.samples) if len(chosen) else (None, None, None)
            ci = None if value is None or low is None or high is None else [low, high]
            yield RetentionRow(set=name, slice=part, model=model, ndcg=value, ci=ci, n=len(chosen))
