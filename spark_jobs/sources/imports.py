"""`nightrank import`: a public layout or the user's own files into landing, without a JVM and with bounded memory."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, UsageError
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.spark_jobs.sources import events, impressions, movielens, sequences
from nightrank.spark_jobs.sources.chunks import Source, place
from nightrank.spark_jobs.sources.landing import KINDS, LandingWriter
from nightrank.spark_jobs.sources.mapping import Mapping, load_mapping
from nightrank.spark_jobs.sources.notes import Notes, Progress, to_stderr
from nightrank.spark_jobs.sources.times import zone

LAYOUTS: Final = ("movielens", "sequences", "impressions", "events")


def import_data(
    layout: str,
    input: Path,
    root: Path,
    *,
    titles: Path | None = None,
    mapping: Path | None = None,
    timezone: str = "UTC",
    dry_run: bool = False,
    progress: Progress = to_stderr,
) -> dict[str, Any]:
    """Landing files of everything in `input`, by arrival day of `timezone`; the same input again changes nothing.

    Returns the counts {layout, files, events, items, users, faulty_rows, first_day, last_day, clock, id_type, written,
    warnings {text: n}, dry_run}. `files` are the landing files this input has, `written` those that were not there.
    A faulty row lands too, with null or NaN and `_raw` in its context, so that ingest can quarantine it with its reason.
    DataContractError, ConfigError or UsageError where the input as a whole is wrong; then landing is as it was.
    """
    notes, lake = Notes(progress), Lake(Path(root))
    zone(timezone)
    source = _open(layout, Path(input), titles, mapping, notes)
    meta = _meta(lake, source)
    faulty = 0
    with LandingWriter(lake, source.name, dry_run) as writer:
        for chunk in source.chunks:
            place(writer, chunk, source.clock, timezone, datetime.now(UTC))
            faulty += chunk.faulty
            notes.tick(f"import: {sum(writer.rows.values()):,} rows read")
        _settle(writer, Path(input))
        files = len(writer.rows)
        written = writer.commit()
    if not dry_run:
        write_json(lake.landing_meta_path, meta)
    days = writer.days("events")
    return {
        "layout": layout,
        "files": files,
        **{kind: sum(n for (k, _), n in writer.rows.items() if k == kind) for kind in KINDS},
        "faulty_rows": faulty,
        "first_day": days[0].isoformat(),
        "last_day": days[-1].isoformat(),
        "clock": source.clock,
        "id_type": source.id_type,
        "written": written,
        "warnings": dict(notes.warnings),
        "dry_run": dry_run,
    }


def _open(layout: str, path: Path, titles: Path | None, mapping: Path | None, notes: Notes) -> Source:
    if layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r} is not known", f"use one of {', '.join(LAYOUTS)}")
    if not path.exists():
        raise UsageError(f"input {path} does not exist", "check the path given to --input")
    if titles is not None and layout != "sequences":
        raise UsageError(f"--titles belongs to `import sequences`, not to {layout}", "leave it out")
    if mapping is not None and layout in ("movielens", "sequences"):
        raise UsageError(f"{layout} has a fixed layout and takes no --mapping", "use `import events` for files of your own")
    if layout == "movielens":
        return movielens.open_source(path, notes)
    if layout == "sequences":
        return sequences.open_source(path, titles, notes)
    how = load_mapping(mapping) if mapping is not None else Mapping()
    return events.open_source(path, how, notes) if layout == "events" else impressions.open_source(path, how, notes)


def _meta(lake: Lake, source: Source) -> dict[str, str]:
    """What `landing/meta.json` will say. ConfigError where the lake already holds data of another clock or id type."""
    old = read_json(lake.landing_meta_path) if lake.landing_meta_path.exists() else {}
    for name, mine in (("clock", source.clock), ("id_type", source.id_type)):
        if old.get(name, mine) != mine:
            raise ConfigError(
                f"lake {lake.root} holds data with {name} {old[name]}, this input has {mine}",
                "import into a lake of its own (--root), or state the same id_type in the mapping",
            )
    names = sorted({source.name, *filter(None, old.get("source", "").split("+"))})
    return {"clock": source.clock, "id_type": source.id_type, "source": "+".join(names)}


def _settle(writer: LandingWriter, path: Path) -> None:
    """Rows without a credible time: events go to the last day, where ingest sees them; items and users to the first."""
    rows = sum(n for (kind, _), n in writer.rows.items() if kind == "events")
    if rows == 0:
        raise DataContractError(f"{path} holds no events", "check the path and the mapping's `path:`")
    days: list[date] = writer.days("events")
    if not days:
        raise DataContractError(
            f"{path}: none of {rows} events has a time that can be read and is not in the future",
            "say `time: {format: …, unit: …}` in the mapping: epoch numbers in s, ms, us or ns, or strptime directives",
        )
    writer.settle("events", days[-1])
    for kind in ("items", "users"):
        writer.settle(kind, days[0])
