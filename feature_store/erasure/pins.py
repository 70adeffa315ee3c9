"""Snapshots after an erasure: their pins say what the rewritten files hold now, under the id that everybody knows them by."""

from collections.abc import Iterator

from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, ErasureNote, Part, PartName, PinnedFile, load_snapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.publish import pinned


def manifests(lake: Lake) -> Iterator[Location]:
    """Of the lake, and the copies beside runs."""
    yield from (place for place in lake.snapshots.children() if place.suffix == ".json")
    yield from (lake.root / "runs").glob("*/snapshot.json")


def corrected(lake: Lake, snapshot: DatasetSnapshot) -> DatasetSnapshot | None:
    """The snapshot with the files as they are now; None where they are as pinned. Files that are gone stay pinned."""
    parts: dict[PartName, Part] = {}
    removed: dict[PartName, int] = dict(snapshot.erasure.rows) if snapshot.erasure else {}
    for name, part in snapshot.parts.items():
        files = [_now(lake.table(part.table), file) for file in part.files]
        if tuple(files) != part.files:
            # A file whose rows were all the user's is pinned no more: readers take every pinned file to have rows.
            parts[name] = part.model_copy(update={"files": tuple(file for file in files if file.rows)})
            removed[name] = removed.get(name, 0) + part.rows - sum(file.rows for file in files)
    if not parts:
        return None
    note = ErasureNote(id=snapshot.id, rows=removed)
    return snapshot.model_copy(update={"parts": {**snapshot.parts, **parts}, "erasure": note})


def correct_all(lake: Lake) -> list[str]:
    """Every manifest says what its files hold. Returns the ids of the snapshots that changed."""
    changed = set()
    for place in manifests(lake):
        found = corrected(lake, load_snapshot(place))
        if found is not None:
            found.save(place)
            changed.add(found.id)
    return sorted(changed)


def _now(folder: Location, file: PinnedFile) -> PinnedFile:
    entry = (folder / file.path).find()
    return file if entry is None or entry.size == file.bytes else pinned(folder, file.path)
