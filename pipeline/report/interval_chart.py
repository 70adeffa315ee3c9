"""A figure per row with its interval, on one common axis: dots with error bars. Geometry only; charts.html.j2 draws it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from nightrank.pipeline.report.scale import Scale, round_ticks, tick_label

TOP, BOTTOM = 12, 30


@dataclass(frozen=True)
class Layout:
    """Sizes in drawing units. The axis lies between `left` and `right`. On a page labels are before it and figures after it;
    on a phone (`stacked`) both stand above the row's line."""

    width: float
    row: float
    left: float
    right: float
    ticks: int
    stacked: bool = False


PAGE: Final = Layout(width=760, row=34, left=190, right=545, ticks=6)
PHONE: Final = Layout(width=340, row=48, left=12, right=312, ticks=4, stacked=True)


@dataclass(frozen=True)
class Estimate:
    """What a row shows. Without a value only `note` is written."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    text: str
    role: str = "peer"
    """ours | before | peer | truth: how it is coloured."""
    note: str = ""


@dataclass(frozen=True)
class Mark:
    """A row in drawing units."""

    estimate: Estimate
    y: float
    x: float | None
    x_low: float | None
    x_high: float | None


@dataclass(frozen=True)
class IntervalChart:
    title: str
    description: str
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    """Where a line for zero is drawn, if differences are shown."""
    height: float
    bottom: float
    layout: Layout
    narrow: "IntervalChart | None" = None
    """The same for a phone."""


def interval_chart(title: str, rows: Sequence[Estimate], around_zero: bool = False) -> IntervalChart:
    """`around_zero`: differences are shown, with a line at zero. Otherwise the axis begins at zero."""
    return replace(_drawn(title, rows, around_zero, PAGE), narrow=_drawn(title, rows, around_zero, PHONE))


def _drawn(title: str, rows: Sequence[Estimate], around_zero: bool, layout: Layout) -> IntervalChart:
    seen = [number for row in rows for number in (row.value, row.low, row.high) if number is not None] or [0.0, 1.0]
    ticks = round_ticks(min(0.0, *seen), max(0.0, *seen), wanted=layout.ticks)
    scale = Scale(ticks[0], ticks[-1], layout.left, layout.right)

    def at(value: float | None) -> float | None:
        return None if value is None else scale(value)

    inside = layout.row * (0.75 if layout.stacked else 0.5)
    places = (TOP + layout.row * i + inside for i in range(len(rows)))
    marks = tuple(Mark(row, y, at(row.value), at(row.low), at(row.high)) for row, y in zip(rows, places, strict=True))
    bottom = TOP + layout.row * len(rows)
    described = "; ".join(f"{row.label}: {row.text or row.note}" for row in rows)
    return IntervalChart(
        title=title,
        description=described,
        marks=marks,
        ticks=tuple((scale(tick), tick_label(tick, ticks)) for tick in ticks),
        zero=scale(0.0) if around_zero else None,
        height=bottom + BOTTOM,
        bottom=bottom,
        layout=layout,
    )
