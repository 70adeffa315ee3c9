"""A figure per row with its interval, on one common axis: dots with error bars. Geometry only; charts.html.j2 draws it."""

from collections.abc import Sequence
from dataclasses import dataclass

from nightrank.pipeline.report.scale import Scale, round_ticks, tick_label

WIDTH, ROW, TOP, BOTTOM = 760, 34, 12, 30
LEFT, RIGHT = 190, 545
"""The axis lies between these; labels stand before it, figures after it."""


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
    width: float = WIDTH
    left: float = LEFT
    right: float = RIGHT


def interval_chart(title: str, rows: Sequence[Estimate], around_zero: bool = False) -> IntervalChart:
    """`around_zero`: differences are shown, with a line at zero. Otherwise the axis begins at zero."""
    seen = [number for row in rows for number in (row.value, row.low, row.high) if number is not None] or [0.0, 1.0]
    ticks = round_ticks(min(0.0, *seen), max(0.0, *seen), wanted=6)
    scale = Scale(ticks[0], ticks[-1], LEFT, RIGHT)

    def at(value: float | None) -> float | None:
        return None if value is None else scale(value)

    marks = tuple(Mark(row, TOP + ROW * i + ROW / 2, at(row.value), at(row.low), at(row.high)) for i, row in enumerate(rows))
    bottom = TOP + ROW * len(rows)
    described = "; ".join(f"{row.label}: {row.text or row.note}" for row in rows)
    return IntervalChart(
        title=title,
        description=described,
        marks=marks,
        ticks=tuple((scale(tick), tick_label(tick, ticks)) for tick in ticks),
        zero=scale(0.0) if around_zero else None,
        height=bottom + BOTTOM,
        bottom=bottom,
    )
