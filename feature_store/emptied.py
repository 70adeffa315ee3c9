"""A Delta table without a row, and without the files of its earlier versions. No JVM."""

from deltalake import DeltaTable

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.object_storage.addresses import storage_options
from nightrank.feature_store.object_storage.faults import of_delta_rs


def empty(lake: Lake, name: str) -> None:
    """The newest version holds no row, and no data file is left. Earlier versions cannot be read any more. To be called inside
    a commit of the lake's lease; cut off, it can be repeated."""
    place = lake.table(name)
    table = delta_read.newest(lake, name)
    if table is None:
        return
    if delta_read.file_paths(table):
        with of_delta_rs(place):
            DeltaTable(str(place), storage_options=storage_options(place)).delete()
    for file, _ in list(place.walk()):
        if file.suffix == ".parquet" and "_delta_log" not in file.key.split("/"):
            file.unlink()
