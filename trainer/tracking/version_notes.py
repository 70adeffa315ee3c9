"""What a model version says of itself in the registry: a description to read and tags to search by. Pure: no mlflow, no IO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

FIGURES: Final = (("recall", 10), ("ndcg", 10))
"""Of the challenger on all rows of a split: what a version is compared by."""
CTR_FIGURES: Final = ("auc", "log_loss")
OUTCOMES: Final = {
    "first": "it is the first champion",
    "promoted": "it became the champion",
    "rejected": "the champion stayed",
    "undecidable": "the champion stayed, for too few rows",
}
TAG: Final = "nightrank."
MODEL_NOTE: Final = (
    "Rankers of nightrank, one version for each run that trained one. Alias `champion` is the model that makes the lists, "
    "`previous` the one before, `challenger` the newest that the gate judged. Each version's description holds its figures and "
    "the gate's decision."
)


@dataclass(frozen=True)
class VersionNotes:
    description: str
    tags: dict[str, str]


def notes_of(run_id: str, date: str, model: Mapping[str, Any], result: Mapping[str, Any] | None = None) -> VersionNotes:
    """The notes of the run's ranker. `model` names ranker and settings, as `ranker_facts` does; `result` is the run's
    result.json once there is one: it adds the figures, each with its interval, and what the gate decided."""
    settings = ", ".join(f"{key} {value}" for key, value in (model.get("settings") or {}).items())
    name = str(model.get("ranker", "ranker"))
    lines = [f"**{name}**, trained by run `{run_id}` on data up to {date}."]
    lines += [f"Settings: {settings}."] if settings else []
    tags = {"ranker": name}
    figures = _figures(result or {})
    if figures:
        lines += ["", "| split | metric | value | 95 % interval | rows |", "|---|---|---|---|---|"]
        for split, metric, value, interval, rows in figures:
            lines.append(f"| {split} | {metric} | {value} | {interval} | {rows} |")
            tags[f"{split}.{metric.replace('@', '_at_')}"] = f"{value} {interval} n={rows}"
    gate = (result or {}).get("gate") or {}
    if gate.get("decision"):
        reasons = "; ".join(map(str, gate.get("reasons", [])))
        decision = str(gate["decision"])
        lines += ["", f"Gate: **{decision}**, {OUTCOMES.get(decision, '')} ({reasons})."]
    return VersionNotes("\n".join(lines), {f"{TAG}{key}": value for key, value in tags.items()} | gate_tags(result or {}))


def gate_tags(result: Mapping[str, Any]) -> dict[str, str]:
    """The gate's decision, and what each of its limits came to; nothing before there is one."""
    gate = result.get("gate") or {}
    if not gate.get("decision"):
        return {}
    return {f"{TAG}{key}": value for key, value in {"gate": str(gate["decision"]), **_limits(gate.get("limits") or [])}.items()}


def _limits(limits: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Which limits failed, and each one's figure; nothing of a gate that had none."""
    failed = [str(found["limit"]) for found in limits if found["verdict"] == "failed"]
    figures = {f"gate.limit.{found['limit'].replace(':', '.')}": _limit(found) for found in limits}
    return {"gate.failed": ", ".join(failed) or "none", **figures} if limits else {}


def _limit(found: Mapping[str, Any]) -> str:
    value = "" if found["value"] is None else f"{_number(found['value'])} of {_number(found['bound'])}, "
    return f"{value}{str(found['verdict']).replace('_', ' ')}, n={found['n']}"


def ctr_notes_of(run_id: str, date: str, name: str, test: Mapping[str, Any] | None) -> VersionNotes:
    """The notes of a click ranker, with its figures on the test rows where it has some."""
    figures = {key: _number(test[key]) for key in CTR_FIGURES if test and isinstance(test.get(key), int | float)}
    shown = ", ".join(f"{key} {value}" for key, value in figures.items())
    lines = [f"**{name}** (click ranker), trained by run `{run_id}` on data up to {date}."]
    if test and shown:
        lines.append(f"On {test.get('n')} test rows: {shown}.")
    tags = {"ranker": name, **{f"test.{key}": value for key, value in figures.items()}}
    return VersionNotes("\n".join(lines), {f"{TAG}{key}": value for key, value in tags.items()})


def _figures(result: Mapping[str, Any]) -> list[tuple[str, str, str, str, int]]:
    """(split, metric, value, interval, rows), in the order of the result; a figure without a value is left out."""
    found = []
    for row in result.get("metrics") or []:
        ours = row["recommender"] == "challenger" and (row.get("slice") or "all") == "all"
        if ours and (row["name"], row["k"]) in FIGURES and row.get("value") is not None:
            low, high = row.get("ci") or (None, None)
            interval = "" if low is None else f"[{_number(low)}, {_number(high)}]"
            found.append((row["split"], f"{row['name']}@{row['k']}", _number(row["value"]), interval, int(row["n"])))
    return found


def _number(value: Any) -> str:
    return f"{float(value):.4f}"
