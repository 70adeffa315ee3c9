"""Which files of which tables something live still names: the newest snapshots, the champion's, and the newest releases."""

from collections.abc import Iterator
from dataclasses import dataclass

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import CTR_MODEL, load_model_ref
from nightrank.feature_store.contracts.settings import MaintenanceSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, load_snapshot
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.contracts.tables import INTERACTIONS, VOCABULARY


@dataclass(frozen=True)
class Pin:
    """`owner` (snapshot or release) names `file` of `table`, relative to the table's folder."""

    table: str
    file: str
    owner: str


def pinned(lake: Lake, settings: MaintenanceSettings) -> list[Pin]:
    """Every file that must stay. A release whose versions are already gone from the log pins what is left of them."""
    return [*_snapshot_pins(lake, settings), *_release_pins(lake, settings)]


def live_snapshots(lake: Lake, settings: MaintenanceSettings) -> list[DatasetSnapshot]:
    """The newest `keep_snapshots` by date, those that live releases name, the champion's and the click ranker's."""
    paths = _newest_first(lake)
    named = {path.stem for path in paths[: settings.keep_snapshots]}
    named |= {release.snapshot_id for release in delta_read.releases(lake)[-settings.keep_releases :]}
    ctr = lake.root / CTR_MODEL
    live = [lake.champion(), load_model_ref(ctr) if ctr.exists() else None]
    named |= {ref.snapshot_id for ref in live if ref is not None}
    return [load_snapshot(path) for path in paths if path.stem in named]


def _newest_first(lake: Lake) -> list[Location]:
    found = [(path, entry) for path, entry in lake.snapshots.walk() if path.suffix == ".json"]
    return [path for path, _ in sorted(found, key=lambda pair: pair[1].modified, reverse=True)]


def _snapshot_pins(lake: Lake, settings: MaintenanceSettings) -> Iterator[Pin]:
    for snapshot in live_snapshots(lake, settings):
        for part in snapshot.parts.values():
            yield from (Pin(part.table, file.path, f"snapshot {snapshot.id[:12]}") for file in part.files)


def _release_pins(lake: Lake, settings: MaintenanceSettings) -> Iterator[Pin]:
    for release in delta_read.releases(lake)[-settings.keep_releases :]:
        made_from = {INTERACTIONS.name: release.data_version, VOCABULARY.name: release.vocabulary_version}
        for table, version in {**release.lists, **made_from}.items():
            try:
                files = delta_read.files_of(lake, table, version)
            except DataContractError:
                continue
            yield from (Pin(table, file, f"release {release.release_id[:12]}") for file in files)
