"""The experiment's section: what its arms earned, whether to believe and stop it, and what other policies would earn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.interval_chart import Estimate, IntervalChart, interval_chart

ESTIMATORS: Final = {"ips": "inverse propensities", "snips": "self-normalised", "doubly_robust": "doubly robust"}
SHOWN: Final = "doubly_robust"
"""Drawn for each policy; the others stand in the table."""


@dataclass(frozen=True)
class Experiment:
    name: str
    verdict: str
    tone: str
    about: str
    arms: IntervalChart | None
    policies: IntervalChart | None
    lines: tuple[tuple[str, str, str, str], ...]
    """(policy, estimator, figure with interval, effective rounds)"""


def experiment(section: Mapping[str, Any] | None) -> Experiment | None:
    """None where no list of an experiment was shown."""
    if section is None:
        return None
    tone, verdict = _verdict(section)
    about = (
        f"{section['lists']:,} of {section['shown_of']:,} lists since {section['since']} were shown. Users: "
        + ", ".join(f"{arm['users']:,} in {arm['name']}" for arm in section["arms"])
        + "."
    )
    lines = tuple(
        (row["name"], ESTIMATORS.get(row["estimator"], "as it was"), _figure(row), f"{row['effective_rounds']:,.0f}")
        for row in section["policies"]
    )
    return Experiment(section["name"], verdict, tone, about, _arms(section), _policies(section), lines)


def _verdict(section: Mapping[str, Any]) -> tuple[str, str]:
    if section["ratio_mismatch"]:
        p_value = section["ratio_p_value"]
        return "bad", f"Arms do not have the users that they should (p = {p_value:.2g}): assignment or logging is at fault."
    others = [arm for arm in section["arms"] if arm["difference"] is not None]
    if not others:
        return "calm", "One arm alone, or too few users: nothing to compare."
    control, sure = section["arms"][0]["name"], [arm for arm in others if arm["may_stop"]]
    if not sure:
        return "calm", f"No arm differs from {control} yet, beyond what chance does to one who looks every morning."
    words = [f"{arm['name']} is {'better' if arm['difference'][0] > 0 else 'worse'} than {control}" for arm in sure]
    return "good", f"The experiment may stop: {', '.join(words)}."


def _arms(section: Mapping[str, Any]) -> IntervalChart | None:
    rows = [
        _row(arm["name"], arm["difference"], wording.signed, "ours") for arm in section["arms"] if arm["difference"] is not None
    ]
    title = f"Rewards a list, less those of {section['arms'][0]['name']}"
    return interval_chart(title, rows, around_zero=True) if rows else None


def _policies(section: Mapping[str, Any]) -> IntervalChart | None:
    rows = [
        _row(
            row["name"],
            (row["value"], row["low"], row["high"]),
            wording.figure,
            "before" if row["estimator"] == "logged" else "ours",
        )
        for row in section["policies"]
        if row["estimator"] in ("logged", SHOWN)
    ]
    return interval_chart("Rewards of the drawn place, a list", rows) if rows else None


def _row(name: str, figures: Sequence[float], words: Callable[[float], str], role: str) -> Estimate:
    value, low, high = figures
    return Estimate(name, value, low, high, words(value), role)


def _figure(row: Mapping[str, Any]) -> str:
    return f"{wording.figure(row['value'])} [{wording.figure(row['low'])}, {wording.figure(row['high'])}]"
