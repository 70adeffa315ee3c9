"""The click ranker: how well it tells answers apart on the newest impressions, and how it was trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.line_chart import LineChart
from nightrank.pipeline.report.training import curve_charts, features_text

CHANCE = 0.5


@dataclass(frozen=True)
class CtrSection:
    model: str
    version: str
    n: str
    answers: tuple[tuple[str, str, str], ...]
    """(answer, AUC, log loss), in the ranker's order."""
    at_chance: tuple[str, ...]
    """Labels whose AUC is at chance level or below."""
    facts: tuple[tuple[str, str], ...]
    charts: tuple[LineChart, ...]


def ctr(section: Mapping[str, Any] | None, curves: Mapping[str, Any]) -> CtrSection | None:
    """None where no click ranker was registered in this run."""
    if not section:
        return None
    test = section.get("test") or {}
    labels = [name.removesuffix("/auc") for name in test if name.endswith("/auc")]
    facts = {"Rows left over": section.get("dropped"), "Features": features_text(section.get("features"))}
    return CtrSection(
        model=section["model"],
        version=f"{section['name']} {section['version']}",
        n=wording.count(test.get("n")),
        answers=tuple(
            (label, wording.figure(test[f"{label}/auc"]), wording.figure(test.get(f"{label}/log_loss"))) for label in labels
        ),
        at_chance=tuple(label for label in labels if test[f"{label}/auc"] <= CHANCE),
        facts=tuple((name, str(value)) for name, value in facts.items() if value is not None),
        charts=curve_charts(curves, "auc", "AUC on validation, mean over answers"),
    )
