"""Parquet files of a lake, read by Arrow through the store they are in."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from nightrank.feature_store.contracts.storage import Location


def dataset(places: Sequence[Location], schema: pa.Schema) -> ds.Dataset:
    """The files' rows. On a disk Arrow opens them itself; of a bucket it reads only the ranges it needs. What is read again and
    again goes through the node's cache instead."""
    if all(place.is_local for place in places):
        return ds.dataset([str(place) for place in places], schema=schema, format="parquet")
    parquet = ds.ParquetFileFormat()
    return ds.FileSystemDataset([parquet.make_fragment(place.open()) for place in places], schema, parquet)


def footer(place: Location) -> pq.FileMetaData:
    with place.open() as file:
        return pq.read_metadata(file)
