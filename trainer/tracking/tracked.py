"""What of a run goes to the tracker, as plain names and numbers. Pure: no mlflow, no IO."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

VALUE_LIMIT: Final = 500
SECTIONS: Final = ("trainer", "ctr", "training_set", "impressions", "text", "gate", "seed")
"""Sections of the configuration that say how a model comes about."""


class Point(NamedTuple):
    """One value of one curve."""

    name: str
    value: float
    step: int


def params_of(config: Mapping[str, Any], sections: tuple[str, ...] = SECTIONS) -> dict[str, str]:
    """`section.key.key` -> value as text, at most VALUE_LIMIT characters."""
    chosen = {name: config[name] for name in sections if name in config}
    return {name: str(value)[:VALUE_LIMIT] for name, value in _leaves("", chosen)}


def curve_points(curves: Mapping[str, Mapping[str, Any]]) -> list[Point]:
    """Loss, learning rate and validation metrics of each phase: `phase/loss`, `phase/lr`, `phase/valid/<metric>`."""
    points = []
    for phase, curve in curves.items():
        for name in ("loss", "lr"):
            pairs = zip(curve.get("step", []), curve.get(name, []), strict=False)
            points += [Point(f"{phase}/{name}", float(value), int(step)) for step, value in pairs]
        for row in curve.get("valid", []):
            points += [
                Point(metric_name(f"{phase}/valid/{name}"), float(value), int(row["step"]))
                for name, value in row.items()
                if name not in ("step", "epoch") and _is_number(value)
            ]
    return [point for point in points if math.isfinite(point.value)]


def result_points(result: Mapping[str, Any]) -> list[Point]:
    """Numbers of result.json: each metric row, each stage's seconds and rows, the counts."""
    rows = [
        (f"{row['recommender']}/{row['split']}/{row.get('slice') or 'all'}/{row['name']}@{row['k']}", row.get("value"))
        for row in result.get("metrics") or []
    ]
    for row in (result.get("retention") or {}).get("rows") or []:
        rows.append((f"retention/{row['set']}/{row['slice']}/{row['model']}/ndcg@10", row["ndcg"]))
    for stage in result.get("stages") or []:
        rows += [(f"stage/{stage['name']}/{key}", stage.get(key)) for key in ("seconds", "rows_in", "rows_out")]
    rows += [(f"counts/{key}", value) for key, value in (result.get("counts") or {}).items()]
    return [Point(metric_name(name), float(value), 0) for name, value in rows if _is_number(value)]


def stage_points(stage: Mapping[str, Any], samples: Sequence[Mapping[str, float]]) -> list[Point]:
    """A stage's own numbers, and its CPU and memory by second since it began."""
    keys = ("seconds", "rows_in", "rows_out", "bytes_read", "bytes_written")
    points = [Point(key, float(stage[key]), 0) for key in keys if _is_number(stage.get(key))]
    for sample in samples:
        second = int(sample["seconds"])
        points.append(Point("system/stage_cpu_percent", float(sample["cpu_percent"]), second))
        points.append(Point("system/stage_memory_mebibytes", float(sample["rss_mib"]), second))
    return points


def metric_name(text: str) -> str:
    """The text with only what MLflow takes in a metric's name: `ndcg@10` becomes `ndcg_at_10`."""
    return re.sub(r"[^\w\-. :/]", "_", text.replace("@", "_at_"))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _leaves(prefix: str, tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(name, value)
        else:
            yield name, value
