"""What a run left that the page is made from, and the page itself, written by rename."""

from itertools import tee
from typing import Any

from nightrank.feature_store.contracts.files import read_json, write_atomic
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.report.earlier import earlier_results
from nightrank.pipeline.report.morning import LISTS, earlier_nights
from nightrank.pipeline.report.page import render
from nightrank.pipeline.report.retention import earlier_sections

REPORT = "report.html"


def write_report(run_dir: Location, result: dict[str, Any]) -> Location:
    """`report.html` in the run's folder, whole or not at all. Artefacts that are not there leave their section out."""
    curves = _output(run_dir, "train").get("curves") or {}
    ctr_curves = _output(run_dir, "train_ctr").get("ctr_training", {}).get("curves", {}).get("ctr")
    users = _read(run_dir / "sample_users.json", [])
    for_lines, for_sections = tee(earlier_results(run_dir, str(result["date"])))
    lists, nights = _read(run_dir / LISTS, None), earlier_nights(for_lines)
    earlier = earlier_sections(for_sections) if result.get("retention") else []
    path = run_dir / REPORT
    write_atomic(path, render(result, curves, users, ctr_curves, earlier, lists, nights).encode())
    return path


def _output(run_dir: Location, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = _read(run_dir / "stages" / f"{stage}.json", {}).get("output", {})
    return found


def _read(path: Location, default: Any) -> Any:
    return read_json(path) if path.exists() else default
