"""The curve as a drawing: one line a series over dates. Geometry only; prequential.html.j2 draws it."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from nightrank.pipeline.replay.curve import SERIES, Curve, Night, Series
from nightrank.pipeline.report.scale import Scale, round_ticks, tick_label

WIDTH, HEIGHT = 940, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 924, 14, 296
MOST_DATES: Final = 8
NAMES: Final[dict[Series, str]] = {
    "nightly": "Nightly fine-tunes",
    "static": "No update",
    "full": "Full training every night",
    "truth": "Truth (taste alone)",
}
ROLES: Final[dict[Series, str]] = {"nightly": "ours", "static": "peer", "full": "before", "truth": "truth"}


@dataclass(frozen=True)
class Line:
    name: str
    role: str
    paths: tuple[str, ...]
    """One for each stretch of dates without a gap."""
    points: tuple[tuple[float, float, str], ...]
    """(x, y, what it says)"""


@dataclass(frozen=True)
class Chart:
    description: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    bottom: int = BOTTOM


def chart(curve: Curve) -> Chart | None:
    """None where no night was measured."""
    if not curve.nights:
        return None
    days = [date.fromisoformat(night.date).toordinal() for night in curve.nights]
    values = [figure.value for night in curve.nights for figure in night.figures.values()]
    ticks = round_ticks(min(values), max(values), 5)
    x = Scale(days[0], max(days[-1], days[0] + 1), LEFT + 8, RIGHT - 8)
    y = Scale(ticks[0], ticks[-1], BOTTOM, TOP)
    every = -(-len(days) // MOST_DATES)
    return Chart(
        description=f"{len(days)} nights from {curve.nights[0].date} to {curve.nights[-1].date}",
        lines=tuple(_line(name, curve, x, y) for name in SERIES if any(name in night.figures for night in curve.nights)),
        x_ticks=tuple((x(day), f"{date.fromordinal(day):%d %b}") for day in days[::every]),
        y_ticks=tuple((y(tick), tick_label(tick, ticks)) for tick in ticks),
    )


def _line(name: Series, curve: Curve, x: Scale, y: Scale) -> Line:
    stretches: list[list[str]] = [[]]
    points = []
    for night in curve.nights:
        if name not in night.figures:
            stretches.append([])
            continue
        at = x(date.fromisoformat(night.date).toordinal()), y(night.figures[name].value)
        stretches[-1].append(f"{at[0]:g} {at[1]:g}")
        points.append((*at, _says(name, night)))
    return Line(NAMES[name], ROLES[name], tuple("M" + " L".join(part) for part in stretches if part), tuple(points))


def _says(name: Series, night: Night) -> str:
    figure = night.figures[name]
    interval = f" [{figure.ci[0]:.4f}, {figure.ci[1]:.4f}]" if figure.ci else ""
    return f"{night.date} {NAMES[name]}: {figure.value:.4f}{interval}"
