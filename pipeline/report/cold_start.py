"""How good lists are where little is known: of items with few events, and for users with the shortest histories."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.interval_chart import IntervalChart
from nightrank.pipeline.report.quality import SPLITS, figures_chart

ITEMS = "cold_items"


def cold_start(metrics: Sequence[Mapping[str, Any]]) -> tuple[IntervalChart, ...]:
    """NDCG@10 of every recommender on each of the two slices that has a figure, of the split that the page is about."""
    splits = [split for split in SPLITS if any(row["split"] == split for row in metrics)][:1]
    rows = [dict(row) for row in metrics if row["split"] in splits and row["k"] == 10 and str(row["name"]).startswith("ndcg")]
    charts = []
    for name in (ITEMS, _shortest({row["slice"] for row in rows})):
        mine = [row for row in rows if row["slice"] == name]
        if any(row["value"] is not None for row in mine):
            title = "Items with few events" if name == ITEMS else f"Users with {wording.part(str(name))}"
            charts.append(figures_chart(mine, f"{title} (n = {wording.count(max(row['n'] for row in mine))})"))
    return tuple(charts)


def _shortest(slices: set[str]) -> str | None:
    """The slice of the shortest histories: `history_0_5` before `history_6_20`."""
    found = [(int(match[1]), name) for name in slices if (match := re.fullmatch(r"history_(\d+)_\d+", name))]
    return min(found)[1] if found else None
