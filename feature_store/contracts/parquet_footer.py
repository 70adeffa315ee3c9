"""What a Parquet file says of itself, wherever it is."""

import pyarrow.parquet as pq

from nightrank.feature_store.contracts.storage import Location


def footer_of(place: Location) -> pq.FileMetaData:
    """Row groups, columns and rows, by reading the file's end alone. ArrowException or OSError where it is no such file."""
    with place.open() as file:
        return pq.read_metadata(file)
