"""Figures of several nights as lines over dates. Geometry only; charts.html.j2 draws it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from nightrank.pipeline.report.scale import Scale, round_ticks, tick_label

WIDTH, HEIGHT = 940, 300
LEFT, RIGHT, TOP, UNDER = 56, 924, 14, 44
"""`UNDER`: from the axis to the end of the drawing."""
MOST_DATES: Final = 8
Nights = Sequence[tuple[str, Mapping[str, float]]]
"""(date, figures by line), oldest first."""
Says = Callable[[str, str], str]
"""What the point of a date and line says."""


@dataclass(frozen=True)
class Line:
    name: str
    role: str
    paths: tuple[str, ...]
    """One for each stretch of nights without a gap."""
    points: tuple[tuple[float, float, str], ...]
    """(x, y, what it says)"""


@dataclass(frozen=True)
class NightLines:
    title: str
    description: str
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    height: int = HEIGHT
    width: int = WIDTH
    left: int = LEFT
    right: int = RIGHT

    @property
    def bottom(self) -> int:
        return self.height - UNDER


def night_lines(
    title: str,
    nights: Nights,
    roles: Mapping[str, str],
    says: Says | None = None,
    height: int = HEIGHT,
    width: int = WIDTH,
) -> NightLines | None:
    """One line for each name of `roles` that some night has a figure of. None without a figure. A point says its date, line
    and figure, or what `says` makes of the first two."""
    values = [value for _, figures in nights for name, value in figures.items() if name in roles]
    if not values:
        return None
    days = [date.fromisoformat(day).toordinal() for day, _ in nights]
    ticks = round_ticks(min(values), max(values), 5)
    right = width - (WIDTH - RIGHT)
    x = Scale(days[0], max(days[-1], days[0] + 1), LEFT + 8, right - 8)
    y = Scale(ticks[0], ticks[-1], height - UNDER, TOP)
    every = -(-len(days) // max(2, MOST_DATES * width // WIDTH))
    there = [name for name in roles if any(name in figures for _, figures in nights)]
    return NightLines(
        title=title,
        description=f"{len(days)} nights from {nights[0][0]} to {nights[-1][0]}",
        lines=tuple(_line(name, roles[name], nights, (x, y), says) for name in there),
        x_ticks=tuple((x(day), f"{date.fromordinal(day):%d %b}") for day in days[::every]),
        y_ticks=tuple((y(tick), tick_label(tick, ticks)) for tick in ticks),
        height=height,
        width=width,
        right=right,
    )


def _line(name: str, role: str, nights: Nights, scales: tuple[Scale, Scale], says: Says | None) -> Line:
    x, y = scales
    stretches: list[list[str]] = [[]]
    points = []
    for day, figures in nights:
        if name not in figures:
            stretches.append([])
            continue
        at = x(date.fromisoformat(day).toordinal()), y(figures[name])
        stretches[-1].append(f"{at[0]:g} {at[1]:g}")
        points.append((*at, says(day, name) if says else f"{day} {name}: {figures[name]:.4f}"))
    return Line(name, role, tuple("M" + " L".join(part) for part in stretches if part), tuple(points))
