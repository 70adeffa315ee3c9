"""Appending a release without a JVM, for what is no stage. Stage release writes its own by Spark."""

from datetime import UTC, date, datetime

import pyarrow as pa
from deltalake import write_deltalake

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.release import Release
from nightrank.feature_store.contracts.tables import RELEASES
from nightrank.feature_store.object_storage.addresses import storage_options
from nightrank.feature_store.object_storage.faults import of_delta_rs


def append(lake: Lake, release: Release) -> None:
    """The release is the newest of its fence. To be called inside a commit of the lease that gave the fence."""
    body = release.model_dump()
    row = {name: body.get(name) for name in schemas.RELEASES.names}
    row |= {"date": date.fromisoformat(release.date), "body": release.model_dump_json(), "created_at": datetime.now(UTC)}
    place = lake.table(RELEASES.name)
    rows = pa.Table.from_pylist([row], schemas.RELEASES)
    with of_delta_rs(place):
        write_deltalake(str(place), rows, mode="append", storage_options=storage_options(place))
