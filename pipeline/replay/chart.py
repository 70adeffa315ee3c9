"""The curve as a drawing: one line a series over dates."""

from typing import Final

from nightrank.pipeline.replay.curve import Curve, Series
from nightrank.pipeline.report.night_lines import NightLines, night_lines

HEIGHT: Final = 340
NAMES: Final[dict[Series, str]] = {
    "nightly": "Nightly fine-tunes",
    "static": "No update",
    "full": "Full training every night",
    "truth": "Truth (taste alone)",
}
ROLES: Final[dict[Series, str]] = {"nightly": "ours", "static": "peer", "full": "before", "truth": "truth"}


def chart(curve: Curve) -> NightLines | None:
    """None where no night was measured."""
    figures = {night.date: {NAMES[name]: figure for name, figure in night.figures.items()} for night in curve.nights}

    def says(day: str, name: str) -> str:
        figure = figures[day][name]
        interval = f" [{figure.ci[0]:.4f}, {figure.ci[1]:.4f}]" if figure.ci else ""
        return f"{day} {name}: {figure.value:.4f}{interval}"

    nights = [(day, {name: figure.value for name, figure in found.items()}) for day, found in figures.items()]
    return night_lines("NDCG@10 by night", nights, {NAMES[name]: ROLES[name] for name in NAMES}, says, HEIGHT)
