"""result.json: what a run did, composed from run.json and what its stages left. Written by rename, on failure too."""

from typing import Any, Final

from nightrank.feature_store.contracts.erasures import trained_on_erased
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location
from nightrank.pipeline.stages import Stage

SCHEMA: Final = "nightrank/result/1"
STAGE_FIELDS: Final = (
    "name",
    "status",
    "exit_code",
    "attempt",
    "seconds",
    "rows_in",
    "rows_out",
    "bytes_read",
    "bytes_written",
    "tables",
)
COUNTS: Final = {
    "landed": 0,
    "events": 0,
    "duplicates": 0,
    "erased": 0,
    "late": 0,
    "quarantined": {},
    "left_out": {},
    "new_users": 0,
    "new_items": 0,
    "texts_encoded": 0,
    "texts_cut": 0,
}
FROM_RUN: Final = ("run_id", "kind", "date", "commit", "config_sha256", "seed", "versions", "machine")
WHERE_SWITCHED_ON: Final = ("ctr", "ingest", "guards", "experiment", "retention")
"""Sections of stages that are not part of every run: absent where those did not run."""
FROM_OUTPUTS: Final = ("snapshot", "training", "model", "metrics", "gate", "release", "report")


def compose(
    run_dir: Location,
    stages: tuple[Stage, ...],
    status: str,
    exit_code: int,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Every field of the result; sections whose stage has not run are null, lists are empty."""
    run = read_json(run_dir / "run.json")
    left = {stage.name: _left_by(run_dir, stage) for stage in stages}
    left_by_all = {key: value for body in left.values() for key, value in body.get("output", {}).items()}
    result = {"schema": SCHEMA, "status": status, "exit_code": exit_code, "error": error}
    result |= {field: run.get(field) for field in FROM_RUN}
    result |= {field: left_by_all.get(field) for field in FROM_OUTPUTS}
    result |= {field: left_by_all[field] for field in WHERE_SWITCHED_ON if field in left_by_all}
    newer = (run.get("found") or {}).get("newer")
    result |= {"back_fill_of": newer} if newer else {}
    result |= {"because": run["because"]} if run.get("because") else {}
    trained = trained_on_erased(Lake(run_dir.parent.parent))
    result |= {"trained_on_erased": trained} if trained else {}
    result["metrics"] = result["metrics"] or []
    result["counts"] = _counts(list(left.values()))
    result["stages"] = [{field: body.get(field) for field in STAGE_FIELDS} for body in left.values()]
    return result


def write(run_dir: Location, result: dict[str, Any]) -> None:
    write_json(run_dir / "result.json", result)


def _left_by(run_dir: Location, stage: Stage) -> dict[str, Any]:
    """The stage's own record, or one that says it failed or was not reached."""
    record = run_dir / "stages" / f"{stage.name}.json"
    if record.exists():
        return dict(read_json(record))
    fault = record.with_name(f"{stage.name}.error.json")
    empty = {"name": stage.name, "seconds": 0.0, "rows_in": 0, "rows_out": 0, "bytes_read": 0, "bytes_written": 0, "tables": []}
    if fault.exists():
        attempt = read_json(run_dir / "run.json")["attempt"]
        return {**empty, "status": "failed", "exit_code": read_json(fault)["exit_code"], "attempt": attempt}
    return {**empty, "status": "not_run", "exit_code": None, "attempt": 0}


def _counts(left: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts the contract names, summed over stages; quarantine and what was left out by reason."""
    counts: dict[str, Any] = {**COUNTS, "quarantined": {}, "left_out": {}}
    for body in left:
        for name, value in {**body.get("output", {}).get("counts", {}), **body.get("counts", {})}.items():
            if name in ("quarantined", "left_out"):
                for reason, rows in value.items():
                    counts[name][reason] = counts[name].get(reason, 0) + rows
            elif name in counts:
                counts[name] += value
    return counts
