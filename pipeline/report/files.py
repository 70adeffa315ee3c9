"""What a run left that the page is made from, and the page itself, written by rename."""

from pathlib import Path
from typing import Any

from feature_store.contracts.files import read_json, write_atomic
from pipeline.report.page import render

REPORT = "report.html"


def write_report(run_dir: Path, result: dict[str, Any]) -> Path:
    """`report.html` in the run's folder, whole or not at all. Artefacts that are not there leave their section out."""
    train = _read(run_dir / "stages" / "train.json", {})
    curves = train.get("extra", {}).get("curves") or {}
    users = _read(run_dir / "sample_users.json", [])
    path = run_dir / REPORT
    write_atomic(path, render(result, curves, users).encode())
    return path


def _read(path: Path, default: Any) -> Any:
    return read_json(path) if path.exists() else default
