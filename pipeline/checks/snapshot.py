"""The snapshot a run was trained on: unchanged, and every pinned file there with the rows it was pinned with."""

from nightrank.feature_store.contracts.settings import MaintenanceSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PinnedFile, load_snapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.object_storage import arrow
from nightrank.pipeline.checks.check import NotApplicable, Subject, expect


def identity(subject: Subject) -> str:
    snapshot = _snapshot(subject)
    body = subject.result["snapshot"]
    expect(body["id"] == snapshot.id, f"result.json names snapshot {body['id'][:12]}, its file holds {snapshot.id[:12]}")
    expect(snapshot.date == subject.run["date"], f"the snapshot is of {snapshot.date}")
    rows = {name: part.rows for name, part in snapshot.parts.items()}
    gone = snapshot.erasure.rows if snapshot.erasure else {}
    differing = [name for name, count in body["rows"].items() if rows.get(name, 0) + gone.get(name, 0) != count]
    expect(not differing, f"result.json and the snapshot differ in the rows of {', '.join(differing)}")
    return f"{snapshot.id[:12]}, {len(rows)} parts"


def pinned_files(subject: Subject) -> str:
    snapshot = _snapshot(subject)
    subject.of_this_vocabulary(snapshot.id)
    count = 0
    for name, part in snapshot.parts.items():
        for file in part.files:
            path = subject.lake.table(part.table) / file.path
            if not path.exists() and subject.expired(subject.config.section("maintenance", MaintenanceSettings).keep_snapshots):
                raise NotApplicable("the pin has expired, and maintenance has taken its files")
            _same(path, file, name)
            count += 1
    return f"{count} files, {sum(part.rows for part in snapshot.parts.values()):,} rows"


def _same(path: Location, file: PinnedFile, part: str) -> None:
    expect(path.exists(), f"part {part}: {path} is missing")
    size = path.size
    expect(size == file.bytes, f"part {part}: {path} has {size} bytes, pinned with {file.bytes}")
    footer = arrow.footer(path)
    groups = tuple(footer.row_group(number).num_rows for number in range(footer.num_row_groups))
    expect(groups == file.row_groups, f"part {part}: {path} has row groups {groups}, pinned with {file.row_groups}")


def _snapshot(subject: Subject) -> DatasetSnapshot:
    return load_snapshot(subject.lake.snapshot(subject.section("snapshot")["id"]))
