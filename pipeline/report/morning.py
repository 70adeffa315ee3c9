"""What one wants to know in the morning: a verdict in words, what is unusual, and the health of data, model and lists."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from nightrank.feature_store.contracts.files import read_json
from nightrank.pipeline.report import wording
from nightrank.pipeline.report.earlier import MOST_NIGHTS, Earlier
from nightrank.pipeline.report.night_lines import NightLines, night_lines
from nightrank.pipeline.report.quality import best_baseline

FEWEST: Final = 3
"""Nights that make something usual."""
TIMES: Final = 2.0
"""A share is unusual above so many times the usual, and above `FLOOR`."""
FLOOR: Final = 0.02
LISTS: Final = "lists.json"
"""In a run's folder: what the page shows of the lists, by its stage."""
CHARTS: Final = {
    "Data: events of the day": ("events",),
    "Data: share put aside": ("put aside",),
    "Model: NDCG@10": ("this model", "best baseline"),
    "Lists: share changed, share by fallback": ("changed", "fallback"),
}
ROLES: Final = {
    "events": "ours",
    "put aside": "before",
    "this model": "ours",
    "best baseline": "peer",
    "changed": "ours",
    "fallback": "before",
}
SHARES: Final = {
    "put aside": "of the rows were put aside",
    "fallback": "of the users got a fallback list",
    "changed": "of the lists changed",
}
SIZE: Final = (190, 380)
"""Height and width of a chart: four fit a page side by side in pairs, and a phone one above the other."""
Nights = Sequence[tuple[str, Mapping[str, float]]]


@dataclass(frozen=True)
class Morning:
    tone: str
    verdict: str
    points: tuple[str, ...]
    """What to look at."""
    charts: tuple[NightLines, ...]


def morning(result: Mapping[str, Any], changes: Mapping[str, Any] | None, earlier: Nights) -> Morning:
    """`earlier`: the figures of nights before by date, oldest first, as `figures` gives them."""
    tonight = figures(result, changes)
    points = (*_decided(result), *_unusual(tonight, [found for _, found in earlier]))
    nights = [*earlier, (str(result["date"]), tonight)][-MOST_NIGHTS:]
    charts = tuple(_charts(nights)) if earlier else ()
    if result["status"] == "failed":
        return Morning("bad", "Tonight went wrong.", points, charts)
    if points:
        number = "One thing needs" if len(points) == 1 else f"{len(points)} things need"
        return Morning("warn", f"{number} a look.", points, charts)
    return Morning("good", "All is well.", (), charts)


def figures(result: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, float]:
    """What is drawn of a night, as far as it is known."""
    counts, release = result.get("counts") or {}, result.get("release") or {}
    found: dict[str, float] = {}
    if counts.get("events") is not None:
        aside = sum((counts.get("quarantined") or {}).values())
        found |= {"events": counts["events"], "put aside": aside / max(1, aside + counts["events"])}
    if (pair := best_baseline(result.get("metrics") or [])) is not None:
        found |= {"this model": pair[0]["value"], "best baseline": pair[1]["value"]}
    if release.get("users"):
        found["fallback"] = sum((release.get("fallback") or {}).values()) / release["users"]
    if changes and changes["compared"]:
        found["changed"] = changes["changed"] / changes["compared"]
    return found


def earlier_nights(earlier: Iterable[Earlier]) -> list[tuple[str, dict[str, float]]]:
    """(date, figures) of the nights before, oldest first; of a repeated date the latest attempt."""
    found: dict[str, dict[str, float]] = {}
    for folder, result in earlier:
        day, lists = str(result["date"]), folder / LISTS
        if day not in found and result.get("kind") == "nightly":
            kept = read_json(lists) if lists.exists() else {}
            found[day] = figures(result, kept.get("changes"))
        if len(found) == MOST_NIGHTS:
            break
    return sorted(found.items())


def _charts(nights: Nights) -> Iterator[NightLines]:
    for title, names in CHARTS.items():
        chart = night_lines(title, nights, {name: ROLES[name] for name in names}, None, *SIZE)
        if chart is not None:
            yield chart


def _decided(result: Mapping[str, Any]) -> Iterator[str]:
    """What the run itself says is wrong."""
    gate, retention = result.get("gate") or {}, result.get("retention") or {}
    ours, peer = best_baseline(result.get("metrics") or []) or ({}, {})
    if ours.get("ci") and peer.get("ci") and peer["ci"][0] > ours["ci"][1]:
        figures_of = f"NDCG@10 {wording.figure(peer['value'])} against {wording.figure(ours['value'])}"
        yield f"{wording.recommender(peer['recommender'])} makes better lists than the model: {figures_of}."
    if gate.get("decision") == "rejected":
        yield "The new model was worse than the champion and did not go live."
    if failed := [row["limit"] for row in gate.get("limits") or [] if row["verdict"] == "failed"]:
        yield f"Limits that the new model broke: {', '.join(map(wording.plain, failed))}."
    if retention.get("asks_for_full"):
        yield "The model forgets: a full training is due."
    if without := (result.get("guards") or {}).get("without"):
        yield f"Held back, and so not learnt from: {', '.join(without)}."


def _unusual(tonight: Mapping[str, float], earlier: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """Shares that are far above their median over the last nights."""
    for name, words in SHARES.items():
        usual = [night[name] for night in earlier if name in night]
        if name in tonight and len(usual) >= FEWEST and tonight[name] > max(FLOOR, TIMES * median(usual)):
            yield f"{tonight[name]:.1%} {words}; usually {median(usual):.1%}."
    usual = [night["events"] for night in earlier if "events" in night]
    if "events" in tonight and len(usual) >= FEWEST and tonight["events"] < median(usual) / TIMES:
        yield f"{wording.count(tonight['events'])} events came in; usually {wording.count(median(usual))}."
