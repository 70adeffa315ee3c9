"""A finished run written by hand, small and whole, for the tests of `verify` and `recommend`."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.files import canonical_json, sha256_file, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, Normalisation, SplitRule
from nightrank.feature_store.publish import pin
from nightrank.pipeline import result as results
from nightrank.pipeline.run.directory import open_run_directory
from nightrank.pipeline.run.request import RunRequest
from nightrank.pipeline.stages import stages_of

DAY, RUN, USERS, K = date(2024, 1, 3), "full-2024-01-03", ("u1", "u2", "u3"), 4


def finished_run(root: Path) -> Lake:
    lake = Lake(root)
    write_json(lake.landing_meta_path, {"clock": "real", "id_type": "string", "source": "test"})
    config = {"seed": 5, "scoring": {"k": K}, "maintenance": {"keep_releases": 2, "keep_snapshots": 2}, "ids": {}}
    open_run_directory(RunRequest(root, "full", DAY, Configuration.from_run(config)), RUN, 1)
    snapshot = _snapshot(lake)
    manifest = _bundle(lake)
    _tables(lake, manifest, snapshot.id)
    ref = {"name": "nightrank", "version": 1, "manifest_sha256": manifest}
    ModelRef(
        **ref,
        alias="champion",
        mlflow_run_id="m",
        vocabulary_lineage="l",
        vocabulary_items=6,
        snapshot_id=snapshot.id,
        run_id=RUN,
        date=str(DAY),
        bundle=f"models/{manifest}",
    ).save(lake.run_dir(RUN) / "model_ref.json")
    _stages(lake, ref, snapshot)
    return lake


def _snapshot(lake: Lake) -> DatasetSnapshot:
    rows = {name: [None, None] for name in schemas.EXAMPLES.names} | {"user": [1, 2], "n": [3, 3], "loss_from": [1, 1]}
    write_deltalake(str(lake.table("examples_train")), pa.table(rows, schema=schemas.EXAMPLES))
    snapshot = DatasetSnapshot(
        kind="full",
        date=str(DAY),
        clock="real",
        parts={"train": pin(lake, "examples_train", 0)},
        normalisation=Normalisation(),
        split=SplitRule(kind="leave_one_out", holdout_modulus=10),
        event_time_cutoff=1,
        availability_cutoff=1,
        seed=5,
        items=6,
        users=3,
    )
    snapshot.save(lake.snapshot(snapshot.id))
    return snapshot


def _bundle(lake: Lake) -> str:
    draft = (lake.bundles / "draft").path
    draft.mkdir(parents=True)
    (draft / "weights.safetensors").write_bytes(b"weights")
    (draft / "manifest.json").write_bytes(canonical_json({"weights.safetensors": sha256_file(draft / "weights.safetensors")}))
    name = sha256_file(draft / "manifest.json")
    draft.rename(lake.bundles / name)
    return name


def recommendation(user: str, rank: int, **other: Any) -> dict[str, Any]:
    row = dict.fromkeys(schemas.RECOMMENDATIONS.names)
    return row | {"user_id": user, "item_id": f"i{rank}", "rank": rank, "score": 1 / rank, "release_id": "r1"} | other


def write_lists(lake: Lake, rows: list[dict[str, Any]]) -> None:
    """The lists as one more version; the release goes on naming the first."""
    write_deltalake(str(lake.table("recommendations")), pa.Table.from_pylist(rows, schemas.RECOMMENDATIONS), mode="overwrite")


def lists() -> list[dict[str, Any]]:
    return [recommendation(user, rank) for user in USERS for rank in range(1, K + 1)]


def _tables(lake: Lake, manifest: str, snapshot_id: str) -> None:
    write_lists(lake, lists())
    known = [{"kind": "user", "raw_id": u, "dense_id": n} for n, u in enumerate(USERS, 1)]
    write_deltalake(str(lake.table("vocabulary")), pa.Table.from_pylist(known, schemas.VOCABULARY))
    items = [{**dict.fromkeys(schemas.ITEMS.names), "item_id": "i1", "title": "Grim Fandango"}]
    write_deltalake(str(lake.table("items")), pa.Table.from_pylist(items, schemas.ITEMS))
    write_release(lake, Release(**RELEASE, manifest_sha256=manifest, snapshot_id=snapshot_id))


def write_release(lake: Lake, release: Release) -> None:
    body = release.model_dump()
    row = {name: body.get(name) for name in schemas.RELEASES.names}
    row |= {"date": date.fromisoformat(release.date), "body": release.model_dump_json(), "created_at": datetime.now(UTC)}
    write_deltalake(str(lake.table("releases")), pa.Table.from_pylist([row], schemas.RELEASES), mode="append")


RELEASE: dict[str, Any] = {
    "release_id": "r1",
    "run_id": RUN,
    "date": str(DAY),
    "model_name": "nightrank",
    "model_version": 1,
    "vocabulary_version": 0,
    "data_version": 0,
    "recommendations_version": 0,
    "fence": 1,
    "users": len(USERS),
    "rows": len(USERS) * K,
    "fallback": {},
    "lists_sha256": "c0",
}


RELEASED: dict[str, Any] = {
    **{"id": "r1", "recommendations_version": 0, "users": 3, "rows": 12, "fallback": {}},
    "catalogue": {"items_version": 0, "listed": 6, "unavailable": 0, "vanished": 0},
}


def _stages(lake: Lake, ref: dict[str, Any], snapshot: DatasetSnapshot) -> None:
    maker = {**ref, "trained_by": RUN, "ranker": "transformer", "settings": {}, "items_not_scored": 2, "note": None}
    extra = {
        "build_training_set": {"snapshot": {"id": snapshot.id, "path": "s", "rows": {"train": 2}, "kind": "full"}},
        "register": {"model": ref},
        "gate": {"gate": {"decision": "first", "reasons": [], "delta": None, "ci": None, "n": 0}},
        "release": {"release": {**RELEASED, "model": maker}},
        "report": {"report": f"runs/{RUN}/report.html"},
    }
    tables = {"score_users": [{"name": "recommendations", "from": None, "to": 0, "content_sha256": "c0"}]}
    numbers = {"seconds": 1.0, "rows_in": 0, "rows_out": 0, "bytes_read": 0, "bytes_written": 0}
    stages = stages_of("full", Configuration.from_run({}))
    for stage in stages:
        record = {"name": stage.name, "status": "done", "exit_code": 0, "attempt": 1, **numbers, "counts": {}}
        record |= {"tables": tables.get(stage.name, []), "output": extra.get(stage.name, {})}
        write_json(lake.run_dir(RUN) / "stages" / f"{stage.name}.json", record)
    (lake.run_dir(RUN) / "report.html").write_text("<html></html>")
    results.write(lake.run_dir(RUN), results.compose(lake.run_dir(RUN), stages, "done", 0))
