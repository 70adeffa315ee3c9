"""`nightrank import`: a public layout or the user's own files into landing, without a JVM and with bounded memory."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.doors import check_readable
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.storage import Location
from nightrank.spark_jobs.sources import events, impressions, movielens, sequences
from nightrank.spark_jobs.sources.absent_items import TEXT as ABSENT
from nightrank.spark_jobs.sources.chunks import Source, place
from nightrank.spark_jobs.sources.lake_meta import check_place, meta_of
from nightrank.spark_jobs.sources.landing import KINDS, LandingWriter
from nightrank.spark_jobs.sources.mapping import Mapping, load_mapping
from nightrank.spark_jobs.sources.notes import Notes, Progress
from nightrank.spark_jobs.sources.states import States

LAYOUTS: Final = ("movielens", "sequences", "impressions", "events", "items")


def import_data(
    layout: str,
    input: Path,
    root: Location | Path,
    *,
    titles: Path | None = None,
    mapping: Path | None = None,
    timezone: str | None = None,
    day: date | None = None,
    dry_run: bool = False,
    progress: Progress = log.info,
) -> dict[str, Any]:
    """Landing files of everything in `input`, by arrival day of `timezone`; the same input again changes nothing.

    Returns the counts {layout, files, events, items, users, faulty_rows, faulty [{table, column, reason, cells, samples}],
    first_day, last_day, clock, id_type, timezone, written, left_out {reason: n}, detected {text: n}, warnings {text: n},
    dry_run, unchanged {kind: rows}}. Rows with an ignored action are left out. `files` are the landing files this input has,
    `written` those that were not there. Without a `timezone` it is the lake's, else UTC.
    A faulty row lands too, with null and `_raw` in its context, so that ingest can quarantine it with its reason; an amount
    that could not be read is under `_unread`, and its event is taken in.
    Items without dates are the state of `day` (`nightrank.spark_jobs.sources.states`), by default of the newest event day.
    DataContractError, ConfigError or UsageError where the input as a whole is wrong; then landing is as it was.
    """
    notes, lake = Notes(progress), Lake(root)
    check_place(lake)
    source = _open(layout, Path(input), titles, mapping, notes, lake)
    meta = meta_of(lake, source, timezone)
    states = States(lake, source.states, day, lake.landing_meta() if lake.landing_meta_path.exists() else {})
    try:
        writer, faulty, written = _land(lake, source, meta["timezone"], Path(input), notes, dry_run, states)
    finally:
        notes.say_all()
    if not dry_run:
        write_json(lake.landing_meta_path, meta | states.to_meta())
    days = writer.days("events") or sorted({day for _, day in writer.rows if day}) or lake.landing_days("events")
    return {
        "layout": layout,
        "files": len(writer.rows),
        **{kind: sum(n for (k, _), n in writer.rows.items() if k == kind) for kind in KINDS},
        "faulty_rows": faulty,
        "faulty": notes.faults.to_json(),
        "first_day": days[0].isoformat(),
        "last_day": days[-1].isoformat(),
        "clock": source.clock,
        "id_type": source.id_type,
        "timezone": meta["timezone"],
        "written": written,
        "left_out": dict(notes.left_out),
        "detected": notes.detected,
        "warnings": notes.warnings,
        "unchanged": states.unchanged,
        "dry_run": dry_run,
    }


def _land(
    lake: Lake, source: Source, timezone: str, path: Path, notes: Notes, dry_run: bool, states: States
) -> tuple[LandingWriter, int, int]:
    """The writer with its counts, the number of faulty rows, and of landing files that were not there before."""
    faulty = 0
    with LandingWriter(lake, source.name, dry_run) as writer:
        for chunk in source.chunks:
            if not states.takes(writer, chunk):
                place(writer, chunk, source.clock, timezone, datetime.now(UTC))
            faulty += chunk.faulty
            notes.tick(f"import: {sum(writer.rows.values()):,} rows read")
        notes.faults.refuse_broken_columns()
        _refuse_nothing(writer, path, source)
        states.settle(writer)
        _settle(writer, path, lake.landing_days("events"))
        if states.absent:
            notes.warn(ABSENT, states.absent)
        for kind, rows in states.unchanged.items():
            notes.detect(f"the {rows:,} {kind} are as they were at the last import, so nothing lands of them")
        return writer, faulty, writer.commit()


def _open(layout: str, path: Path, titles: Path | None, mapping: Path | None, notes: Notes, lake: Lake) -> Source:
    if layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r} is not known", f"use one of {', '.join(LAYOUTS)}")
    check_readable(path, "input", UsageError, "check the path given to --input")
    if titles is not None and layout != "sequences":
        raise UsageError(f"--titles belongs to `import sequences`, not to {layout}", "leave it out")
    if mapping is not None and layout in ("movielens", "sequences"):
        raise UsageError(f"{layout} has a fixed layout and takes no --mapping", "use `import events` for your own files")
    if layout == "movielens":
        return movielens.open_source(path, notes)
    if layout == "sequences":
        return sequences.open_source(path, titles, notes)
    how = load_mapping(mapping) if mapping is not None else Mapping()
    if layout == "items":
        return events.open_catalogue(path, how, lake.landing_meta(), notes)
    return events.open_source(path, how, notes) if layout == "events" else impressions.open_source(path, how, notes)


def _refuse_nothing(writer: LandingWriter, path: Path, source: Source) -> None:
    """DataContractError where the input has no row of what it was imported for, or no event whose time can be read."""
    events = sum(n for (kind, _), n in writer.rows.items() if kind == "events")
    wanted = "items" if source.name == "items" else "events"
    if not writer.rows or (wanted == "events" and events == 0):
        raise DataContractError(f"{path} holds no {wanted}", "check the path and the mapping's `path:`")
    if events and not writer.days("events"):
        raise DataContractError(
            f"{path}: none of {events} events has a time that can be read and is not in the future",
            "set `time: {format: …, unit: …}` in the mapping: epoch numbers in s, ms, us or ns, or strptime directives",
        )


def _settle(writer: LandingWriter, path: Path, before: list[date]) -> None:
    """Rows without a credible time: events go to the last day, where ingest sees them; items and users to the first. `before`
    are the event days the lake had."""
    days = writer.days("events") or before[-1:]
    if not days and any(day is None for _, day in writer.rows):
        raise UsageError(f"{path}: no day is known for rows without a time", "import events first, or give the day with --date")
    for kind in KINDS if days else ():
        writer.settle(kind, days[-1] if kind == "events" else days[0])
