"""The curve's page and its numbers under the lake's reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from nightrank.feature_store.contracts.files import write_atomic, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.replay.chart import NAMES, ROLES, chart
from nightrank.pipeline.replay.curve import SERIES, Curve, Night, Series
from nightrank.pipeline.report import wording
from nightrank.pipeline.report.page import environment

HERE: Final = Path(__file__).parent
STYLE: Final = HERE.parent / "report" / "report.css"


@dataclass(frozen=True)
class Mean:
    name: str
    role: str
    figure: str
    note: str


def write(lake: Lake, curve: Curve) -> tuple[Location, Location]:
    """(page, numbers), each whole or not at all; those of the same dates are replaced."""
    folder, name = lake.root / "reports", f"prequential-{curve.first}-{curve.last}"
    numbers, page = folder / f"{name}.json", folder / f"{name}.html"
    folder.mkdir()
    write_json(numbers, curve.model_dump(mode="json"))
    write_atomic(page, render(curve).encode())
    return page, numbers


def render(curve: Curve) -> str:
    """One self-contained HTML page."""
    series = tuple(name for name in SERIES if any(name in night.figures for night in curve.nights))
    return (
        environment(HERE)
        .get_template("prequential.html.j2")
        .render(
            curve=curve,
            chart=chart(curve),
            style=Markup(STYLE.read_text()),
            means=[_mean(name, curve) for name in series if name in curve.means],
            columns=[NAMES[name] for name in series],
            rows=[(night, [_cell(night, name) for name in series]) for night in curve.nights],
        )
    )


def _mean(name: Series, curve: Curve) -> Mean:
    value, full = curve.means[name], curve.means.get("full")
    notes = [f"{value / full:.3f} of full training" if name == "nightly" and full else ""]
    notes += [f"{curve.train_seconds[name]:,.0f} s of training" if name in curve.train_seconds else ""]
    return Mean(NAMES[name], ROLES[name], wording.figure(value), "; ".join(filter(None, notes)))


def _cell(night: Night, name: Series) -> tuple[str, str]:
    figure = night.figures.get(name)
    if figure is None:
        return wording.NONE, ""
    low_high = f"{wording.figure(figure.ci[0])} to {wording.figure(figure.ci[1])}" if figure.ci else ""
    return wording.figure(figure.value), low_high
