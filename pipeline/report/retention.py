"""What is still known of long ago: the section on the page, and the picture over the last nights."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.earlier import MOST_NIGHTS, Earlier
from nightrank.pipeline.report.night_lines import NightLines, night_lines

SETS: Final = {"holdout": "gate's hold-out", "cohort": "old cohort", "replay": "replayed rows"}
MODELS: Final = ("challenger", "champion", "last_full")
LINES: Final = {
    "Challenger on the old cohort": "ours",
    "Last full model on the old cohort": "before",
    "Challenger on the hold-out": "peer",
    "Challenger on replayed rows": "truth",
}
_OF_LINE: Final = dict(
    zip(
        LINES,
        (("cohort", "challenger"), ("cohort", "last_full"), ("holdout", "challenger"), ("replay", "challenger")),
        strict=True,
    )
)
Section = Mapping[str, Any]


@dataclass(frozen=True)
class Retention:
    note: str
    asks: bool
    cohort: str
    chart: NightLines | None
    models: tuple[str, ...]
    rows: tuple[tuple[str, str, str, tuple[tuple[str, str], ...]], ...]
    """(set, slice, rows, ((NDCG@10, interval) of each model))"""


def retention(section: Section | None, date: str, earlier: Sequence[tuple[str, Section]]) -> Retention | None:
    """The section's view; None where nothing was measured. `earlier`: (date, section) of nights before, oldest first."""
    if not section or not section["rows"]:
        return None
    nights = [(day, figures) for day, found in (*earlier, (date, section)) if (figures := _figures(found))]
    cohort = section["cohort"]
    pinned = f"{wording.count(cohort['rows'])} rows of {cohort['date']}, {cohort['sha256'][:12]}" if cohort else ""
    models = tuple(name for name in MODELS if any(row["model"] == name for row in section["rows"]))
    return Retention(
        note=f"{section['note'][:1].upper()}{section['note'][1:]}",
        asks=bool(section["asks_for_full"]),
        cohort=pinned,
        chart=night_lines("NDCG@10 over the last nights", nights[-MOST_NIGHTS:], LINES),
        models=tuple(map(wording.recommender, models)),
        rows=tuple(_rows(section["rows"], models)),
    )


def earlier_sections(earlier: Iterable[Earlier]) -> list[tuple[str, Section]]:
    """Of the nights before, oldest first; of a repeated date the latest attempt."""
    found: dict[str, Section] = {}
    for _, result in earlier:
        if result.get("retention"):
            found.setdefault(str(result["date"]), result["retention"])
    return sorted(found.items())[-MOST_NIGHTS:]


def _figures(section: Section) -> dict[str, float]:
    whole = {(row["set"], row["model"]): row["ndcg"] for row in section["rows"] if row["slice"] == "all"}
    return {name: whole[key] for name, key in _OF_LINE.items() if whole.get(key) is not None}


def _rows(
    rows: Sequence[Mapping[str, Any]], models: tuple[str, ...]
) -> Iterator[tuple[str, str, str, tuple[tuple[str, str], ...]]]:
    for key in dict.fromkeys((row["set"], row["slice"]) for row in rows):
        of = {row["model"]: row for row in rows if (row["set"], row["slice"]) == key}
        n = max(row["n"] for row in of.values())
        if n:
            cells = tuple(_cell(of.get(model)) for model in models)
            yield SETS.get(key[0], key[0]), wording.plain(key[1]), wording.count(n), cells


def _cell(row: Mapping[str, Any] | None) -> tuple[str, str]:
    if row is None or row["ndcg"] is None:
        return wording.NONE, ""
    low, high = row["ci"]
    return wording.figure(row["ndcg"]), f"{wording.figure(low)} to {wording.figure(high)}"
