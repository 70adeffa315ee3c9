"""The prequential curve of nights that have run: what was live before each date, on all that happened on it."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final, Literal

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.pipeline.run import request as requests

Series = Literal["nightly", "static", "full", "truth"]
SERIES: Final[tuple[Series, ...]] = ("nightly", "static", "full", "truth")
METRIC: Final = ("ndcg", 10)


class Figure(FrozenConfig):
    """NDCG@10, and the bootstrap interval where there is one."""

    value: float
    ci: tuple[float, float] | None


class Night(FrozenConfig):
    date: str
    run_id: str
    decision: str | None
    """The gate's."""
    rows: int
    """Rows with a target of the date."""
    figures: dict[Series, Figure]
    """`nightly`: the champion that the night found. `static`: the full model that the first night found. `full`: one trained in
    full the day before. `truth`: the simulator's preferences. What was not measured is left out."""
    train_seconds: float | None
    full_train_seconds: float | None = None
    """Of the model behind `full`."""


class Curve(FrozenConfig):
    first: str
    last: str
    metric: str = "ndcg@10"
    nights: tuple[Night, ...]
    without: dict[str, str]
    """Dates without a night in the curve, and why."""
    nights_of_means: int
    means: dict[Series, float]
    """Over the nights on which each of them was measured."""
    train_seconds: dict[Series, float]
    """Of training alone, summed over the same nights."""


def curve(lake: Lake, days: list[date], references: Iterable[Series], full: Mapping[date, tuple[Figure, float]]) -> Curve:
    """`references` are drawn besides the nights; `full` has the figures and training times of that one."""
    nights, without, begin = [], {}, None
    for day in days:
        result = requests.read_result(lake.run_dir(run_of(lake, "nightly", day)))
        rows = day_rows(result)
        if result is None or "champion" not in rows:
            without[day.isoformat()] = _why(result)
            continue
        model = last_full_of(lake, result["run_id"])
        begin = begin or model
        nights.append(_night(result, rows, set(references), model == begin, full.get(day)))
    drawn = {name for night in nights for name in night.figures}
    whole = [night for night in nights if drawn <= night.figures.keys()]
    order = [name for name in SERIES if name in drawn]
    return Curve(
        first=days[0].isoformat(),
        last=days[-1].isoformat(),
        nights=tuple(nights),
        without=without,
        nights_of_means=len(whole),
        means={name: sum(night.figures[name].value for night in whole) / len(whole) for name in order} if whole else {},
        train_seconds=_train_seconds(whole),
    )


def _night(result: Mapping[str, Any], rows: dict[str, Any], wanted: set[Series], same: bool, full: Any) -> Night:
    figures: dict[Series, Figure] = {"nightly": figure_of(rows["champion"])}
    if "static" in wanted and same and "last_full" in rows:
        figures["static"] = figure_of(rows["last_full"])
    if "full" in wanted and full is not None:
        figures["full"] = full[0]
    if "truth" in rows:
        figures["truth"] = figure_of(rows["truth"])
    return Night(
        date=result["date"],
        run_id=result["run_id"],
        decision=(result.get("gate") or {}).get("decision"),
        rows=rows["champion"]["n"],
        figures=figures,
        train_seconds=train_seconds(result),
        full_train_seconds=full[1] if "full" in figures else None,
    )


def run_of(lake: Lake, kind: str, day: date) -> str:
    """The run of the date, its latest repetition."""
    first = f"{kind}-{day.isoformat()}"
    repeated = [int(folder.name.removeprefix(f"{first}-r")) for folder in (lake.root / "runs").glob(f"{first}-r*")]
    return f"{first}-r{max(repeated)}" if repeated else first


def day_rows(result: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Metric row of each recommender on the night's date, as far as it has a value."""
    metrics = (result or {}).get("metrics") or []
    found = [row for row in metrics if (row["split"], row["slice"], row["name"], row["k"]) == ("day", "all", *METRIC)]
    return {row["recommender"]: row for row in found if row["value"] is not None}


def figure_of(row: Mapping[str, Any]) -> Figure:
    return Figure(value=row["value"], ci=row.get("ci"))


def last_full_of(lake: Lake, run_id: str) -> str | None:
    """Manifest of the last full run's model that the run found."""
    found = read_json(lake.run_dir(run_id) / "run.json").get("found") or {}
    return (found.get("last_full") or {}).get("manifest_sha256")


def train_seconds(result: Mapping[str, Any]) -> float | None:
    return next((stage["seconds"] for stage in result["stages"] if stage["name"] == "train"), None)


def _train_seconds(nights: list[Night]) -> dict[Series, float]:
    sums: dict[Series, float] = {"nightly": round(sum(night.train_seconds or 0 for night in nights), 1)}
    if any("full" in night.figures for night in nights):
        sums["full"] = round(sum(night.full_train_seconds or 0 for night in nights), 1)
    return sums


def _why(result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "no night has run"
    if result["status"] in ("done", "gate_rejected"):
        back_fill = result.get("back_fill_of")
        return "a back-fill: no model was trained" if back_fill else "nothing of the date was measured before the night"
    status = str(result["status"])
    return {"held": "held back by a guard", "nothing": "nothing landed"}.get(status, status)
