"""Is it any good: the model beside the baselines on the same rows, and what the gate made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.interval_chart import Estimate, IntervalChart, interval_chart

Row = dict[str, Any]

SPLITS: Final = ("test", "holdout", "valid", "day")
"""The first of these that has figures is the one the page is about."""
CHARTED: Final = (("ndcg", 10), ("recall", 10))
WHOLE: Final = "all"


@dataclass(frozen=True)
class Table:
    """Figures of one split and slice: a line per recommender, a column per metric."""

    title: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]
    """(name, role, ((figure, interval), ...))"""
    n: str


@dataclass(frozen=True)
class Quality:
    split: str
    charts: tuple[IntervalChart, ...]
    table: Table | None
    further: tuple[Table, ...]
    """Other slices and splits."""
    warning: str
    """A warning where the page's split has too few rows."""


@dataclass(frozen=True)
class Gate:
    decision: str
    tone: str
    meaning: str
    reasons: tuple[str, ...]
    chart: IntervalChart | None
    n: str
    figures: str
    """NDCG@10 of both on the held-out rows, or nothing."""
    limits: tuple[tuple[str, str, str, str], ...] = ()
    """(limit, verdict, tone, sentence)"""


MEANING: Final = {
    "first": ("good", "There was no champion; this model is the first one and went live."),
    "promoted": ("good", "The challenger was not clearly worse, so it replaced the champion."),
    "rejected": ("warn", "The challenger was worse. The champion stays, and it made new lists."),
    "undecidable": ("calm", "Undecidable: too few held-out rows to tell the two apart, so the champion stays."),
    "no_challenger": ("calm", "No event landed, so no model was trained. The champion stays, and it made new lists."),
}
FAILED_A_LIMIT: Final = "The challenger failed a limit. The champion stays, and it made new lists."
LIMIT_TONE: Final = {"passed": "good", "failed": "warn"}


def quality(metrics: Sequence[Row]) -> Quality | None:
    """None where nothing was measured."""
    if not metrics:
        return None
    splits = sorted({row["split"] for row in metrics}, key=lambda s: (SPLITS.index(s) if s in SPLITS else len(SPLITS), s))
    main = [row for row in metrics if row["split"] == splits[0] and row["slice"] == WHOLE]
    charts = tuple(_chart(main, name, k) for name, k in CHARTED if any(_is(row, name, k) for row in main))
    groups = sorted({(row["split"], row["slice"]) for row in metrics}, key=lambda g: (splits.index(g[0]), g[1] != WHOLE, g[1]))
    tables = [_table([r for r in metrics if (r["split"], r["slice"]) == group], *group) for group in groups]
    first = tables[0] if main else None
    few = any(row.get("note") for row in main)
    warning = f"Only {first.n} rows: the intervals are wide and may still be too narrow." if few and first else ""
    return Quality(splits[0], charts, first, tuple(tables[1:] if main else tables), warning)


def gate(body: Row | None) -> Gate | None:
    if not body:
        return None
    decision = str(body["decision"])
    tone, meaning = MEANING.get(decision, ("calm", ""))
    low, high = body.get("ci") or (None, None)
    chart = None
    if body.get("delta") is not None:
        text = f"{wording.signed(body['delta'])}  [{wording.signed(low)}, {wording.signed(high)}]"
        row = Estimate("Challenger − champion", body["delta"], low, high, text, "ours")
        chart = interval_chart("Difference in NDCG@10 on the held-out rows", [row], around_zero=True)
    reasons = tuple(map(str, [*(body.get("reasons") or ()), *filter(None, [body.get("new_items")])]))
    ours, before = body.get("challenger_ndcg"), body.get("champion_ndcg")
    figures = f"challenger {wording.figure(ours)}, champion {wording.figure(before)}" if ours is not None else ""
    limits = tuple(_limit(found) for found in body.get("limits") or ())
    if decision == "rejected" and any(verdict == "failed" for _, verdict, _, _ in limits):
        meaning = FAILED_A_LIMIT
    return Gate(decision, tone, meaning, reasons, chart, _rows_of(body), figures, limits)


def _limit(found: Row) -> tuple[str, str, str, str]:
    verdict = str(found["verdict"])
    name = wording.plain(str(found["limit"]).replace("slice_floor:", "floor of "))
    return name, wording.plain(verdict), LIMIT_TONE.get(verdict, "calm"), str(found["sentence"])


def _rows_of(body: Row) -> str:
    """How many rows, and of how many nights where they were pooled."""
    nights = int(body.get("nights") or 1)
    return wording.count(body.get("n")) + (f" (of {nights} nights)" if nights > 1 else "")


def best_baseline(metrics: Sequence[Row]) -> tuple[Row, Row] | None:
    """(challenger, best baseline) by NDCG@10 on the page's split, where both were measured."""
    view = quality(metrics)
    if view is None:
        return None
    rows = [r for r in metrics if r["split"] == view.split and r["slice"] == WHOLE and _is(r, "ndcg", 10)]
    ours = next((row for row in rows if row["recommender"] == "challenger" and row["value"] is not None), None)
    peers = [row for row in rows if wording.ROLE.get(row["recommender"], "peer") == "peer" and row["value"] is not None]
    return (ours, max(peers, key=lambda row: float(row["value"]))) if ours and peers else None


def _is(row: Row, name: str, k: int) -> bool:
    return row["name"] in (name, f"{name}@{k}") and row["k"] == k


def _chart(rows: Sequence[Row], name: str, k: int) -> IntervalChart:
    return figures_chart([row for row in rows if _is(row, name, k)], wording.metric(name, k))


def figures_chart(rows: Sequence[Row], title: str) -> IntervalChart:
    """A line for each recommender, in reading order."""
    chosen = sorted(rows, key=lambda row: wording.recommender_order(row["recommender"]))
    return interval_chart(title, [_estimate(row) for row in chosen])


def _estimate(row: Row) -> Estimate:
    low, high = row.get("ci") or (None, None)
    interval = f"  [{wording.figure(low)}, {wording.figure(high)}]" if low is not None else ""
    text = "" if row["value"] is None else f"{wording.figure(row['value'])}{interval}"
    return Estimate(
        wording.recommender(row["recommender"]),
        row["value"],
        low,
        high,
        text,
        wording.ROLE.get(row["recommender"], "peer"),
        note="" if text else f"{row.get('note') or 'not decidable'} (n = {wording.count(row['n'])})",
    )


def _table(rows: Sequence[Row], split: str, slice_name: str) -> Table:
    columns = list(dict.fromkeys((row["name"], row["k"]) for row in rows))
    lines = []
    for recommender in sorted({row["recommender"] for row in rows}, key=wording.recommender_order):
        cells = {(row["name"], row["k"]): _cell(row) for row in rows if row["recommender"] == recommender}
        line = tuple(cells.get(column, (wording.NONE, "")) for column in columns)
        lines.append((wording.recommender(recommender), wording.ROLE.get(recommender, "peer"), line))
    counted = [int(row["n"]) for row in rows if row.get("n") is not None]
    name = wording.split(split)
    title = name if slice_name == WHOLE else f"{name}, {wording.part(slice_name)}"
    return Table(
        title, tuple(wording.metric(*column) for column in columns), tuple(lines), wording.count(max(counted, default=None))
    )


def _cell(row: Row) -> tuple[str, str]:
    if row["value"] is None:
        return row.get("note") or "not decidable", ""
    low, high = row.get("ci") or (None, None)
    return wording.figure(row["value"]), "" if low is None else f"{wording.figure(low)} to {wording.figure(high)}"
