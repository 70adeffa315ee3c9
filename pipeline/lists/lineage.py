"""`nightrank lineage`: one row of a released list, back to the Delta versions, runs, models and data it came from. No JVM.

Every step is looked up where it must be, and the answer says whether it was found there.
"""

from collections.abc import Iterator
from typing import Any, Final

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.files import read_json, sha256_at
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, load_snapshot
from nightrank.feature_store.contracts.tables import INTERACTIONS, RECOMMENDATIONS, VOCABULARY
from nightrank.pipeline.recommend import list_of, titles_of

MOST_MODELS: Final = 400
"""Models of a chain that are looked at, newest first: more than a year of nights."""
RUN_FIELDS: Final = ("run_id", "kind", "date", "commit", "config_sha256", "fence")
ROW_FIELDS: Final = (c.RANK, c.ITEM_ID, c.SCORE, c.FALLBACK, c.LIST_ID)


def lineage(lake: Lake, user: str, rank: int, files: list[str], overrides: list[str]) -> dict[str, Any]:
    """The row, and what it came from: `release`, `run`, `model`, `trained_on`, `chain` of models, `steps` with `found`.

    UsageError where nothing is released, the user has no list, or the list no such rank.
    """
    release, rows = list_of(lake, user, files, overrides)
    row = next((row for row in rows if row[c.RANK] == rank), None)
    if row is None:
        raise UsageError(f"this user's list has no rank {rank}", f"it has ranks 1 to {len(rows)}")
    chain = list(_chain(lake, release))
    titles = titles_of(lake, [row[c.ITEM_ID]])
    return {
        "user": user,
        "row": {**{name: row[name] for name in ROW_FIELDS}, "title": titles.get(row[c.ITEM_ID])},
        "release": {
            "id": release.release_id,
            "date": release.date,
            "recommendations_version": release.recommendations_version,
            "interactions_version": release.data_version,
            "vocabulary_version": release.vocabulary_version,
            "lists_sha256": release.lists_sha256,
        },
        "run": _run(lake, release.run_id),
        "model": {
            "name": release.model_name,
            "version": release.model_version,
            "manifest_sha256": release.manifest_sha256,
            "mlflow_run_id": chain[0][0].mlflow_run_id if chain else None,
        },
        "trained_on": _trained_on(chain[0][1]) if chain else None,
        "chain": [_model(lake, ref, snapshot) for ref, snapshot in chain],
        "steps": [{"what": what, "found": found} for what, found in _steps(lake, release, chain)],
    }


def _run(lake: Lake, run_id: str) -> dict[str, Any]:
    path = lake.run_dir(run_id) / "run.json"
    body = read_json(path) if path.exists() else {"run_id": run_id}
    return {name: body.get(name) for name in RUN_FIELDS}


def _trained_on(snapshot: DatasetSnapshot | None) -> dict[str, Any] | None:
    """The pinned data: files and rows by part, and the version of each table that they were made of."""
    if snapshot is None:
        return None
    parts = {
        name: {"table": part.table, "version": part.version, "files": len(part.files), "rows": part.rows}
        for name, part in snapshot.parts.items()
    }
    return {"snapshot_id": snapshot.id, "kind": snapshot.kind, "date": snapshot.date, "tables": snapshot.tables, "parts": parts}


def _model(lake: Lake, ref: ModelRef, snapshot: DatasetSnapshot | None) -> dict[str, Any]:
    run = _run(lake, ref.run_id)
    return {
        "version": ref.version,
        "manifest_sha256": ref.manifest_sha256,
        "run_id": ref.run_id,
        "kind": run["kind"],
        "date": ref.date,
        "commit": run["commit"],
        "snapshot_id": ref.snapshot_id,
        "data": snapshot.tables if snapshot else None,
    }


def _chain(lake: Lake, release: Release) -> Iterator[tuple[ModelRef, DatasetSnapshot | None]]:
    """The model that made the lists, the one that it grew from, and so on back to a full run's."""
    ref = _reference(lake, release.manifest_sha256, release.run_id)
    for _ in range(MOST_MODELS):
        if ref is None:
            return
        path = lake.snapshot(ref.snapshot_id)
        snapshot = load_snapshot(path) if path.exists() else None
        yield ref, snapshot
        parent = snapshot.parent if snapshot else None
        ref = _reference(lake, parent.manifest_sha256, None) if parent and parent.manifest_sha256 else None


def _reference(lake: Lake, manifest: str, run_id: str | None) -> ModelRef | None:
    """The reference of the bundle of that manifest, wherever the lake keeps it; None where it keeps none."""
    in_run = [lake.run_dir(run_id) / name for name in ("model_ref.json", LIST_MODEL)] if run_id else []
    for path in (*in_run, lake.champion_path, lake.earlier_champion(manifest)):
        ref = load_model_ref(path) if path.exists() else None
        if ref is not None and ref.manifest_sha256 == manifest:
            return ref
    return None


def _steps(lake: Lake, release: Release, chain: list[tuple[ModelRef, DatasetSnapshot | None]]) -> Iterator[tuple[str, bool]]:
    """What the row rests on, each with whether it is where it must be and what it claims to be."""
    tables = {
        RECOMMENDATIONS.name: release.recommendations_version,
        INTERACTIONS.name: release.data_version,
        VOCABULARY.name: release.vocabulary_version,
    }
    for name, version in tables.items():
        yield f"table {name} version {version}", _has_version(lake, name, version)
    yield f"run {release.run_id}", (lake.run_dir(release.run_id) / "run.json").exists()
    manifest = lake.bundles / release.manifest_sha256 / "manifest.json"
    yield f"bundle {release.manifest_sha256[:12]}", manifest.exists() and sha256_at(manifest) == release.manifest_sha256
    if not chain:
        yield f"reference of model {release.manifest_sha256[:12]}", False
    for ref, snapshot in chain:
        yield f"snapshot {ref.snapshot_id[:12]} of model version {ref.version}", snapshot is not None


def _has_version(lake: Lake, name: str, version: int) -> bool:
    try:
        delta_read.open_table(lake, name, version)
    except (DataContractError, FileNotFoundError):
        return False
    return True
