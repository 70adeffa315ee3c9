"""Curves over steps. Geometry only; charts.html.j2 draws it."""

from collections.abc import Sequence
from dataclasses import dataclass

from nightrank.pipeline.report.scale import Scale, round_ticks, tick_label

WIDTH, HEIGHT = 470, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 456, 14, 214
MOST_POINTS = 300
SMOOTHING_SPAN = 0.06
"""A running mean over this share of the curve."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """`style`: faint | line | dots, `path` in drawing units."""

    style: str
    path: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class LineChart:
    title: str
    description: str
    series: tuple[Series, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    last: tuple[float, float, str] | None
    """Where the end of the curve is, and its figure."""
    x_label: str = "step"
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM


def line_chart(title: str, points: Sequence[Point], marked: bool = False) -> LineChart:
    """`marked`: few points, each a dot. Otherwise the points are a faint line under their running mean."""
    finite = sorted(point for point in points if abs(point[1]) < float("inf"))
    if not finite:
        return LineChart(title, "no points", (), (), (), None)
    kept = thinned(finite)
    smooth = kept if marked else running_mean(kept)
    first, last = finite[0][0], finite[-1][0]
    first = 0.0 if 0 < first < last / 10 else first
    x_ticks = [tick for tick in round_ticks(first, last, 5) if first <= tick <= last] or [first]
    y_ticks = round_ticks(min(y for _, y in kept), max(y for _, y in kept), 5)
    x = Scale(first, last if last > first else first + 1, LEFT + 6, RIGHT - 8)
    y = Scale(y_ticks[0], y_ticks[-1], BOTTOM, TOP)

    def series(style: str, of: Sequence[Point]) -> Series:
        drawn = tuple((x(a), y(b)) for a, b in of)
        return Series(style, "M" + " L".join(f"{a:g} {b:g}" for a, b in drawn), drawn)

    end = smooth[-1]
    return LineChart(
        title=title,
        description=f"from {kept[0][1]:.4f} at step {kept[0][0]:g} to {end[1]:.4f} at step {end[0]:g}",
        series=(series("dots", kept),) if marked else (series("faint", kept), series("line", smooth)),
        x_ticks=tuple((x(tick), tick_label(tick, x_ticks)) for tick in x_ticks),
        y_ticks=tuple((y(tick), tick_label(tick, y_ticks)) for tick in y_ticks),
        last=(x(end[0]), y(end[1]), f"{end[1]:.4f}"),
    )


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points evenly along the curve, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def running_mean(points: Sequence[Point]) -> list[Point]:
    """The mean over a window centred on each point, one-sided at both ends: it does not lag and ends calmly."""
    reach = round(len(points) * SMOOTHING_SPAN / 2)
    means: list[Point] = []
    for i, (x, _) in enumerate(points):
        inside = [y for _, y in points[max(0, i - reach) : i + reach + 1]]
        means.append((x, sum(inside) / len(inside)))
    return means
