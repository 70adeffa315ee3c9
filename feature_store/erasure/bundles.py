"""Bundles whose files were rewritten: the manifest keeps its bytes, which name the bundle; `erasure.json` says what changed."""

from nightrank.feature_store.contracts.files import read_json, sha256_at, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.manifests import ERASURE, MANIFEST
from nightrank.feature_store.contracts.storage import Location


def correct_all(lake: Lake) -> int:
    """Beside every manifest whose Parquet files are no longer the listed ones `erasure.json` has their sha256. How many there
    are that changed now. A click ranker's bundle holds user ids; also MLflow's copies of it."""
    changed = 0
    for root in (lake.bundles, lake.mlflow, lake.root / "tune"):
        for place, _ in list(root.walk()):
            changed += place.name == MANIFEST and corrected(place)
    return changed


def corrected(manifest: Location) -> bool:
    """Whether `erasure.json` beside it had to be written or changed."""
    listed: dict[str, str] = read_json(manifest)
    files = {name: manifest.with_name(name) for name in listed if name.endswith(".parquet")}
    now = {name: sha256_at(place) for name, place in files.items() if place.exists()}
    note = manifest.with_name(ERASURE)
    differing = {name: sha256 for name, sha256 in now.items() if sha256 != listed[name]}
    if differing == (read_json(note) if note.exists() else {}):
        return False
    write_json(note, differing)
    return True
