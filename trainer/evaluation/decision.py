"""The gate's rule: champion and challenger on the same hold-out rows, a paired bootstrap, a decision with its reasons."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from nightrank.ranker.metrics.ranking import paired_delta
from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.evaluation.limits.finding import Finding
from nightrank.trainer.evaluation.pooling import PairedRows

Verdict = Literal["first", "undecidable", "promoted", "rejected"]


@dataclass(frozen=True)
class Decision:
    """`delta` is challenger less champion in NDCG@10, `ci` its paired interval, `n` the rows both were measured on."""

    decision: Verdict
    reasons: tuple[str, ...]
    delta: float | None = None
    ci: tuple[float, float] | None = None
    n: int = 0
    challenger_ndcg: float | None = None
    champion_ndcg: float | None = None
    champion: str | None = None
    """Manifest of the champion that was compared with."""
    nights: int = 1
    """Nights whose rows were pooled, tonight's among them."""
    limits: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        body = asdict(self)
        body["limits"] = [finding.to_json() for finding in self.limits]
        return {**body, "reasons": list(self.reasons), "ci": None if self.ci is None else list(self.ci)}


def first(reason: str = "there is no champion yet", champion: str | None = None) -> Decision:
    """There is none that the challenger could be compared with."""
    return Decision("first", (reason,), champion=champion)


def limited(decision: Decision, findings: Sequence[Finding]) -> Decision:
    """The decision with what each limit came to. What fails one does not go live; the reasons name every one that failed."""
    failed = tuple(f"limit {finding.limit}: {finding.sentence}" for finding in findings if finding.failed)
    verdict = "rejected" if failed and decision.decision == "promoted" else decision.decision
    return replace(decision, decision=verdict, reasons=(*failed, *decision.reasons), limits=tuple(findings))


def broken(finding: Finding, champion: str) -> Decision:
    """A challenger whose numbers are none is not compared: no score can be made of them."""
    return Decision("rejected", (f"limit {finding.limit}: {finding.sentence}",), champion=champion, limits=(finding,))


def decided(rows: PairedRows, config: GateConfig, seed: int, champion_name: str | None = None, full: bool = False) -> Decision:
    """The rule on per-row NDCG@10 of challenger and champion (`GateConfig` states it)."""
    few = len(rows) < config.decidable_rows
    delta, low, high = _difference(rows, config, seed, few)
    facts = _facts(rows, delta, low, high, champion_name)
    count = f"{len(rows)} hold-out rows of {rows.nights} nights" if rows.nights > 1 else f"{len(rows)} hold-out rows"
    short = f"{count}, {config.decidable_rows} are needed"
    waiting = not full and rows.nights < config.pool_nights
    if few and (waiting or config.too_few == "keep_champion" or (not len(rows) and config.rule == "require_not_worse")):
        more = "; they are pooled with those of the next nights" if waiting else ""
        return Decision("undecidable", (f"{short}{more}",), **facts)
    if not len(rows):
        return Decision("promoted", (f"{short}; there is no evidence against the challenger",), **facts)
    verdict, reason = _verdict(delta, low, high, config.margin * float(np.mean(rows.theirs)), config)
    why = "a full run is judged on these rows" if full else f"{config.pool_nights} nights have passed"
    return Decision(verdict, (reason, *((f"{short}, but {why}",) if few else ())), **facts)


def _difference(rows: PairedRows, config: GateConfig, seed: int, few: bool) -> tuple[float, float, float]:
    """(mean, low, high) of challenger less champion. Of few rows, with one more row won and one more lost: rows that are
    all equal must not look certain."""
    delta, low, high = paired_delta(rows.ours, rows.theirs, seed, config.samples, config.level)
    if few and len(rows):
        ours, theirs = np.append(rows.ours, [1.0, 0.0]), np.append(rows.theirs, [0.0, 1.0])
        _, low, high = paired_delta(ours, theirs, seed, config.samples, config.level)
    return delta, low, high


def _facts(rows: PairedRows, delta: float, low: float, high: float, champion: str | None) -> dict[str, Any]:
    if not len(rows):
        return {"n": 0, "nights": rows.nights, "champion": champion}
    means = {"challenger_ndcg": float(np.mean(rows.ours)), "champion_ndcg": float(np.mean(rows.theirs))}
    return {"delta": delta, "ci": (low, high), "n": len(rows), "nights": rows.nights, "champion": champion, **means}


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
    return "promoted", f"not clearly worse: {figures}"
