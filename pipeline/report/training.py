"""Loss and validation curves, one pair of panels a phase."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.line_chart import LineChart, line_chart

PHASES: Final = {
    "fit": "Measured model: trained without the evaluation split",
    "refit": "Live model: brought up to date on the evaluation split",
    "night": "Tonight's fine-tune",
}
SHOWN_METRIC: Final = "ndcg@10"


@dataclass(frozen=True)
class Phase:
    title: str
    charts: tuple[LineChart, ...]


@dataclass(frozen=True)
class Training:
    phases: tuple[Phase, ...]
    facts: tuple[tuple[str, str], ...]


def training(body: Mapping[str, Any] | None, curves: Mapping[str, Any]) -> Training | None:
    """None where no training took place in this run."""
    phases = tuple(phase for name, curve in curves.items() if (phase := _phase(name, curve)).charts)
    if not body and not phases:
        return None
    return Training(phases, _facts(body or {}))


def _phase(name: str, curve: Mapping[str, Any]) -> Phase:
    metric = _metric_of(curve.get("valid") or [])
    base, _, k = (metric or "").partition("@")
    label = f"{wording.metric(base, int(k) if k.isdigit() else None)} on validation"
    return Phase(PHASES.get(name, wording.plain(name).capitalize()), curve_charts(curve, metric, label))


def curve_charts(curve: Mapping[str, Any], metric: str | None, label: str) -> tuple[LineChart, ...]:
    """Training loss, and the validated metric under its label; what the curve does not hold is left out."""
    charts = []
    loss = [(float(x), float(y)) for x, y in zip(curve.get("step", []), curve.get("loss", []), strict=False) if y is not None]
    if loss:
        charts.append(line_chart("Training loss", loss))
    measured = curve.get("valid") or []
    points = [(float(row["step"]), float(row[metric])) for row in measured if row.get(metric) is not None] if metric else []
    if points:
        charts.append(line_chart(label, points, marked=True))
    return tuple(charts)


def _metric_of(measured: Sequence[Mapping[str, Any]]) -> str | None:
    names = [name for row in measured for name, value in row.items() if name != "step" and isinstance(value, int | float)]
    return SHOWN_METRIC if SHOWN_METRIC in names else next(iter(names), None)


def features_text(read: Mapping[str, Any] | None) -> str | None:
    """Which features were read, by which ranker, and of which share of the events something was known."""
    if not read:
        return None
    known = read.get("known") or {}
    parts = [
        f"{kind} {', '.join(names)}" + (f" (known for {known[kind]:.0%} of events)" if kind in known else "")
        for kind, names in read["names"].items()
        if names
    ]
    return f"{'; '.join(parts)}. Read by {wording.plain(read['read_by'])}"


def _facts(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    def each(values: Any) -> str | None:
        return " + ".join(wording.count(value) for value in values) if values else None

    facts = {
        "Backend": body.get("backend"),
        "Reader": body.get("reader"),
        "Launched by": body.get("launcher"),
        "Ranks": body.get("world_size"),
        "Steps, per rank": each(body.get("steps")),
        "Rows read, per rank": each(body.get("rows_read")),
        "Rows left over": wording.count(body.get("dropped")) if body else None,
        "Resumed from": body.get("resumed_from"),
        "Grown from model": body.get("parent_model"),
        "Features": features_text(body.get("features")),
    }
    return tuple((name, str(value)) for name, value in facts.items() if value is not None)
