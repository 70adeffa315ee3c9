"""The page: every section's view, put into one template. Nothing is fetched: styles and drawings are inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nightrank.pipeline.report import overview, wording
from nightrank.pipeline.report.cold_start import cold_start
from nightrank.pipeline.report.ctr import ctr
from nightrank.pipeline.report.experiment import experiment
from nightrank.pipeline.report.guards import guards
from nightrank.pipeline.report.lists_view import changed, explorer
from nightrank.pipeline.report.morning import Nights, morning
from nightrank.pipeline.report.quality import gate, quality
from nightrank.pipeline.report.retention import retention
from nightrank.pipeline.report.training import training
from nightrank.pipeline.report.users import sample_users

HERE = Path(__file__).parent


def render(
    result: Mapping[str, Any],
    curves: Mapping[str, Any],
    users: Sequence[Mapping[str, Any]],
    ctr_curves: Mapping[str, Any] | None = None,
    earlier: Sequence[tuple[str, Mapping[str, Any]]] = (),
    lists: Mapping[str, Any] | None = None,
    nights: Nights = (),
) -> str:
    """One self-contained HTML page. A section whose stage did not run is left out, so partial and failed runs render too.
    `earlier`: the sections `retention` of nights before, by date; `nights` their figures; `lists` what `lists.json` holds."""
    counts, release = result.get("counts") or {}, result.get("release") or {}
    versions = overview.table_versions(result["stages"])
    view = {
        "result": result,
        "style": Markup((HERE / "report.css").read_text()),
        "script": Markup((HERE / "find.js").read_text()),
        "exploring": Markup((HERE / "explorer.js").read_text()),
        "morning": morning(result, (lists or {}).get("changes"), nights),
        "changed": changed(lists),
        "explorer": explorer(lists),
        "title": overview.title(result),
        "headline": overview.headline(result),
        "status": wording.STATUS.get(result["status"], result["status"]),
        "tone": wording.TONE.get(result["status"], "calm"),
        "tiles": overview.tiles(result),
        "quality": quality(result.get("metrics") or []),
        "cold_start": cold_start(result.get("metrics") or []),
        "gate": gate(result.get("gate")),
        "retention": retention(result.get("retention"), str(result["date"]), earlier),
        "training": training(result.get("training"), curves),
        "experiment": experiment(result.get("experiment")),
        "ctr": ctr(result.get("ctr"), ctr_curves or {}),
        "counts": overview.data_counts(counts),
        "quarantine": overview.quarantine_bars(counts),
        "left_out": overview.left_out_bars(counts),
        "guards": guards(result.get("guards")),
        "faults": overview.fault_rows(result.get("ingest") or {}),
        "fallback": overview.fallback_bars(release),
        "users": sample_users(users),
        "stages": overview.stage_bars(result["stages"]),
        "trace": overview.trace(result, len(versions)),
        "tables": versions,
        "list_model": overview.list_model(release),
        "short": wording.short,
    }
    return environment().get_template("page.html.j2").render(view)


def environment(*folders: Path) -> Environment:
    """Of this folder's templates, and of `folders` before them. Everything is escaped: titles, ids and messages come from
    outside."""
    return Environment(
        loader=FileSystemLoader([*folders, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
