"""The gate's rule: champion and challenger on the same hold-out rows, a paired bootstrap, a decision with its reasons."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nightrank.feature_store.contracts.snapshot import DatasetSnapshot
from nightrank.ranker.metrics.ranking import Floats, paired_delta
from nightrank.trainer.config.evaluation import EvaluationConfig, GateConfig
from nightrank.trainer.evaluation.measure import measure
from nightrank.trainer.evaluation.recommenders import Recommender

METRIC = "ndcg@10"

Verdict = Literal["first", "undecidable", "promoted", "rejected"]


@dataclass(frozen=True)
class Decision:
    """`delta` is challenger less champion in NDCG@10, `ci` its paired interval, `n` the rows both were asked on."""

    decision: Verdict
    reasons: tuple[str, ...]
    delta: float | None = None
    ci: tuple[float, float] | None = None
    n: int = 0
    challenger_ndcg: float | None = None
    champion_ndcg: float | None = None
    champion: str | None = None
    """Manifest of the champion that was compared with."""

    def to_json(self) -> dict[str, Any]:
        body = asdict(self)
        return {**body, "reasons": list(self.reasons), "ci": None if self.ci is None else list(self.ci)}


def first() -> Decision:
    return Decision("first", ("there is no champion yet",))


def compared(
    snapshot: DatasetSnapshot,
    root: Path,
    challenger: Recommender,
    champion: Recommender,
    config: GateConfig,
    seed: int,
    champion_name: str | None = None,
) -> Decision:
    """Both measured on the rows of `holdout`, and the rule applied."""
    if not snapshot.rows("holdout"):
        return decided(np.zeros(0), np.zeros(0), config, seed, champion_name)
    measured = measure(
        snapshot,
        root,
        "holdout",
        {"challenger": challenger, "champion": champion},
        np.zeros(snapshot.items + 1, np.int64),
        EvaluationConfig(ks=(10,)),
    )
    ours, theirs = (measured.values[recommender].get(METRIC, np.zeros(0)) for recommender in ("challenger", "champion"))
    return decided(ours, theirs, config, seed, champion_name)


def decided(ours: Floats, theirs: Floats, config: GateConfig, seed: int, champion_name: str | None = None) -> Decision:
    """The rule on per-row NDCG@10 of challenger and champion (`GateConfig` states it)."""
    rows = len(ours)
    if rows < config.decidable_rows:
        return Decision(
            "undecidable", (f"{rows} hold-out rows, {config.decidable_rows} are needed",), n=rows, champion=champion_name
        )
    delta, low, high = paired_delta(ours, theirs, seed, config.samples, config.level)
    margin = config.margin * float(np.mean(theirs))
    verdict, reason = _verdict(delta, low, high, margin, config)
    return Decision(verdict, (reason,), delta, (low, high), rows, float(np.mean(ours)), float(np.mean(theirs)), champion_name)


def _verdict(delta: float, low: float, high: float, margin: float, config: GateConfig) -> tuple[Verdict, str]:
    figures = f"delta {delta:+.5f}, interval {low:+.5f} to {high:+.5f}, margin {margin:.5f}"
    if config.rule == "require_not_worse":
        if low >= -margin:
            return "promoted", f"not worse by more than the margin: {figures}"
        return "rejected", f"not shown to be within the margin: {figures}"
    if high < 0 and delta < -margin:
        return "rejected", f"worse by more than the margin, and the interval lies below 0: {figures}"
    if low > 0:
        return "promoted", f"better: {figures}"
    return "promoted", f"no loss was shown that matters: {figures}"
