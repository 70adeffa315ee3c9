"""What happened, in a sentence and a few figures; the data that came in; where the time went; what came from what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightrank.pipeline.report import wording
from nightrank.pipeline.report.quality import best_baseline

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    label: str
    figure: str
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """`share` of the longest, in percent."""

    label: str
    figure: str
    share: float
    note: str = ""
    tone: str = ""


def title(result: Result) -> str:
    """What the run took in. Events without a clock have days at the start of the epoch, which are not shown as a date."""
    if result["kind"] == "nightly":
        return f"Night of {result['date']}"
    return "Everything" if str(result["date"]).startswith("1970-") else f"Everything up to {result['date']}"


def headline(result: Result) -> str:
    """One or two sentences that a reader may stop after."""
    if result["status"] == "failed":
        stage = next((s["name"] for s in result["stages"] if s["status"] == "failed"), None)
        return f"The run stopped in {wording.plain(stage)}." if stage else "The run stopped."
    if result["status"] == "nothing":
        return "The date had nothing to read. The lists did not change."
    if result["status"] == "held":
        return "The day is held back: nothing was learnt of it, and the lists did not change."
    if current := result.get("back_fill_of"):
        return f"The date's data was read. The model and the lists of {current} stay current."
    release = result.get("release") or {}
    gate = (result.get("gate") or {}).get("decision")
    lives = {
        "first": "The first model went live",
        "promoted": "The new model went live",
        "rejected": "The new model was worse, so the champion stays",
        "undecidable": "There were too few rows to judge the new model (undecidable), so the champion stays",
        "no_challenger": "No event landed, only changes of items or users, so no model was trained",
    }
    sentence = lives.get(str(gate), "The run is done")
    if release.get("model") and gate in ("rejected", "undecidable", "no_challenger"):
        sentence += f" and {version_of(release['model'])} made the lists"
    if release.get("users"):
        sentence += f", and {wording.count(release['users'])} users have lists of one release"
    return f"{sentence}.{trained_on_erased(result)}"


def trained_on_erased(result: Result) -> str:
    """A further sentence where the live model has learnt from users who were erased since."""
    users = result.get("trained_on_erased")
    if not users:
        return ""
    return f" The live model has learnt from {wording.count(users)} erased users; the next full run leaves them out."


def tiles(result: Result) -> tuple[Tile, ...]:
    counts, release = result.get("counts") or {}, result.get("release") or {}
    quarantined = sum((counts.get("quarantined") or {}).values())
    found = [Tile("Events read", wording.count(counts.get("events")), f"{wording.count(quarantined)} in quarantine")]
    pair = best_baseline(result.get("metrics") or [])
    if pair is not None:
        ours, peer = pair
        ratio = f"{ours['value'] / peer['value']:.2f} × " if peer["value"] else "against "
        found.append(Tile("NDCG@10", wording.figure(ours["value"]), f"{ratio}{wording.recommender(peer['recommender'])}"))
    if release:
        fallback = sum((release.get("fallback") or {}).values())
        found.append(Tile("Users with lists", wording.count(release.get("users")), f"{wording.count(fallback)} by fallback"))
    spent = sum(stage.get("seconds") or 0 for stage in result["stages"])
    ran = sum(1 for stage in result["stages"] if stage["status"] not in ("not_run", "skipped"))
    found.append(Tile("Time", wording.seconds(spent), f"{ran} stages"))
    return tuple(found)


def data_counts(counts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (wording.plain(name).capitalize(), wording.count(value))
        for name, value in counts.items()
        if not isinstance(value, Mapping)
    )


def quarantine_bars(counts: Mapping[str, Any]) -> tuple[Bar, ...]:
    reasons = sorted((counts.get("quarantined") or {}).items(), key=lambda item: -item[1])
    return _bars([(wording.plain(reason), rows, wording.count(rows), "", "") for reason, rows in reasons])


def left_out_bars(counts: Mapping[str, Any]) -> tuple[Bar, ...]:
    reasons = sorted((counts.get("left_out") or {}).items(), key=lambda item: -item[1])
    return _bars([(wording.plain(reason), rows, wording.count(rows), "", "") for reason, rows in reasons])


def fault_rows(ingest: Mapping[str, Any]) -> tuple[tuple[str, str, str, str, str], ...]:
    """(table, column, reason, rows, samples) of everything that was put aside or could not be read."""
    found = [
        (
            fault["table"],
            fault["column"],
            wording.plain(fault["reason"]),
            wording.count(fault["rows"]),
            "; ".join(fault["samples"]),
        )
        for fault in ingest.get("faults", [])
    ]
    kept = (ingest.get("unreadable") or {}).items()
    return (*found, *(("events", name, "cell not readable, event kept", wording.count(rows), "") for name, rows in kept))


def fallback_bars(release: Mapping[str, Any]) -> tuple[Bar, ...]:
    reasons = sorted((release.get("fallback") or {}).items(), key=lambda item: -item[1])
    return _bars([(wording.plain(reason), users, wording.count(users), "", "") for reason, users in reasons])


def stage_bars(stages: Sequence[Mapping[str, Any]]) -> tuple[Bar, ...]:
    """In the order they ran, with rows in and out and bytes written."""
    rows = []
    for stage in stages:
        ran = stage["status"] not in ("not_run", "skipped")
        moved = f"{wording.count(stage['rows_in'])} → {wording.count(stage['rows_out'])} rows" if stage.get("rows_in") else ""
        attempt = f", attempt {stage['attempt']}" if (stage.get("attempt") or 1) > 1 else ""
        written = f", {wording.size(stage['bytes_written'])} written" if stage.get("bytes_written") else ""
        note = f"{moved}{written}{attempt}".removeprefix(", ")
        figure = wording.seconds(stage["seconds"]) if ran else wording.plain(stage["status"])
        rows.append((wording.plain(stage["name"]), stage.get("seconds") or 0.0, figure, note, _tone(stage["status"])))
    return _bars(rows)


def table_versions(stages: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str, str, str], ...]:
    """(table, from, to, content hash) of every table this run moved, in the order they were written."""
    last: dict[str, tuple[str, str, str, str]] = {}
    for table in (table for stage in stages for table in stage.get("tables") or ()):
        name = table["name"]
        first = last[name][1] if name in last else wording.NONE if table.get("from") is None else str(table["from"])
        last[name] = (name, first, str(table.get("to", wording.NONE)), wording.short(table.get("content_sha256"), 12))
    return tuple(last.values())


def trace(result: Result, moved: int) -> tuple[Tile, ...]:
    """The hand-offs from data to lists, each by its identity."""
    snapshot, model, release = (result.get(name) or {} for name in ("snapshot", "model", "release"))
    rows = snapshot.get("rows")
    total = sum(rows.values()) if isinstance(rows, Mapping) else rows
    steps = [Tile("Delta tables", f"{moved} moved", "versions below")]
    if snapshot:
        steps.append(Tile("Snapshot", wording.short(snapshot.get("id")), f"{wording.count(total)} rows pinned"))
    if model:
        steps.append(Tile("Model of this run", version_of(model), f"manifest {wording.short(model.get('manifest_sha256'))}"))
    if maker := (release or {}).get("model"):
        steps.append(Tile("Lists made by", version_of(maker), f"manifest {wording.short(maker['manifest_sha256'])}"))
    if release:
        lists = f"recommendations v{release.get('recommendations_version')}"
        steps.append(Tile("Release", wording.short(release.get("id"), 14), lists))
    return tuple(steps)


def version_of(model: Mapping[str, Any]) -> str:
    return f"{model.get('name')} v{model.get('version')}"


def list_model(release: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What is to be known of the model that made the lists."""
    maker = release.get("model")
    if not maker:
        return ()
    settings = ", ".join(f"{wording.plain(name)} {value}" for name, value in maker["settings"].items())
    facts = [("Lists made by", f"{version_of(maker)}, trained by {maker['trained_by']}")]
    facts += [("Ranker", maker["ranker"]), ("Its settings", settings)]
    facts.append(("Items not scored", f"{wording.count(maker['items_not_scored'])} (newer than the model)"))
    if catalogue := release.get("catalogue"):
        off = f"{wording.count(catalogue['unavailable'])} unavailable, {wording.count(catalogue['vanished'])} vanished"
        facts.append(("Items not on sale", f"{off} from the newest complete export; in no list"))
    return (*facts, ("Note", maker["note"])) if maker["note"] else tuple(facts)


def _tone(status: str) -> str:
    return {"failed": "bad", "not_run": "off", "skipped": "off"}.get(status, "")


def _bars(rows: Sequence[tuple[str, float, str, str, str]]) -> tuple[Bar, ...]:
    longest = max((row[1] for row in rows), default=0) or 1
    return tuple(Bar(label, figure, round(100 * size / longest, 2), note, tone) for label, size, figure, note, tone in rows)
